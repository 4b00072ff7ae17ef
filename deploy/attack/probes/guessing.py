"""Guesses spread over accounts, addresses and days, so that no single budget fills (rows 63 and 71)."""

import secrets
from collections.abc import Callable

from deploy.attack.people import enrol
from deploy.attack.probe import Probe, Target, new_address
from deploy.attack.watch import Watch, watched

# As the gateway's README.md promises, and so many tries more.
PASSWORDS_BY_NETWORK, PASSWORDS_BY_LINK, BEYOND = 60, 30, 6


@watched
def stuffing_hits(target: Target, watch: Watch) -> str:
    """Try leaked passwords, all of them right, and enter no code: from one address, one /64 and one /48."""
    target.need_addresses()
    site = f"2001:db8:{secrets.randbelow(65536):x}"
    v4 = new_address()
    places: dict[str, tuple[int, Callable[[int], str]]] = {
        "one IPv4 address": (PASSWORDS_BY_NETWORK, lambda _: v4),
        "the networks of one /48": (PASSWORDS_BY_NETWORK, lambda number: f"{site}:{number + 1:x}::1"),
        "the addresses of one /64": (PASSWORDS_BY_LINK, lambda number: f"2001:db8:0:{site[9:]}::{number + 1:x}"),
    }
    owner = enrol(target)
    for name, (allowed, address) in places.items():
        answers = [
            target.browser(address(number)).log_in(owner.account.email, owner.account.password)
            for number in range(allowed + BEYOND)
        ]
        hits = sum(answer.status == 200 for answer in answers)
        watch.holds(f"{name}: {hits} leaked passwords were tried, {allowed} are allowed", hits <= allowed, len(answers))
        watch.served(f"{name}: the first leaked password", answers[0])
    known = owner.signed_in()
    watch.served("the owner at another address", known.get("/v1/session"))
    return "right passwords without a code, beyond the budget of one address, of one /64 and of one /48"


PROBES = (Probe(71, "stuffing-hits", "Leaked passwords that cost their network nothing", "found here", stuffing_hits),)
