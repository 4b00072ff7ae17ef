"""Guesses spread over accounts, addresses and days, so that no single budget fills (rows 63 and 71)."""

import secrets
from collections.abc import Callable

from deploy.attack.accounts import Account
from deploy.attack.browser import Browser
from deploy.attack.inside import guessed_everywhere
from deploy.attack.people import enrol, expect
from deploy.attack.probe import Probe, Target, new_address
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, wait_for

# As the gateway's README.md promises, and so many tries more.
PASSWORDS_BY_NETWORK, PASSWORDS_BY_LINK, BEYOND = 60, 30, 6
TOLD_AT = 5
_NOTICE_SECONDS = 40.0
SPREAD, ALLOWED = 50_000, 1


@watched
def stuffing_hits(target: Target, watch: Watch) -> str:
    """Try leaked passwords, all of them right, and enter no code: from one address, one /64 and one /48."""
    target.need_addresses()
    site, v4 = f"{secrets.randbelow(65536):x}", new_address()
    places: dict[str, tuple[int, Callable[[int], str]]] = {
        "one IPv4 address": (PASSWORDS_BY_NETWORK, lambda _: v4),
        "the networks of one /48": (PASSWORDS_BY_NETWORK, lambda number: f"2001:db8:{site}:{number + 1:x}::1"),
        "the addresses of one /64": (PASSWORDS_BY_LINK, lambda number: f"2001:db8:0:{site}::{number + 1:x}"),
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
    watch.served("the owner at another address", owner.signed_in().get("/v1/session"))
    return "right passwords without a code, beyond the budget of one address, of one /64 and of one /48"


@watched
def silent_guesses(target: Target, watch: Watch) -> str:
    """Enter a few wrong codes between the owner's own sign-ins: they look like nothing, and add up."""
    owner, inbox = enrol(target), target.need_inbox()
    codes = owner.wrong_codes(TOLD_AT)
    for number, code in enumerate(codes):
        watch.refused("a wrong code", owner.guess(code), "invalid_passcode")
        if number % 2:
            watch.served("the owner's own sign-in", owner.guess(owner.recovery_codes.pop()))

    def told() -> bool:
        mails = (one for one in inbox.messages() if one["to"] == owner.account.email)
        return any("wrong codes" in str(mail["body"]) for mail in mails)

    try:
        is_told = wait_for(told, seconds=_NOTICE_SECONDS, every=0.3)
    except TimeoutError:
        is_told = False
    watch.holds(f"the owner does not hear of {TOLD_AT} wrong codes between own sign-ins", is_told)
    return f"{TOLD_AT} wrong codes after a right password, two between one sign-in of the owner's and the next"


@watched
def guesses_spread_over_accounts(target: Target, watch: Watch) -> str:
    """Guess at an account while tens of thousands of wrong codes are entered at others: strangers get one try a day."""
    control, owner = target.need_control(), enrol(target)
    known, account = target.browser(), owner.account
    watch.served("the owner's usual browser", _by_cookie(known, account, owner.recovery_codes.pop()))
    watch.refused("the first wrong code of the hour", owner.guess(owner.wrong_codes(1)[0]), "invalid_passcode")
    with guessed_everywhere(control, SPREAD):
        answers = [owner.guess(code) for code in owner.wrong_codes(3)]
        compared = sum(answer.code == "invalid_passcode" for answer in answers[1:])  # the first one puts the brake on
        said = f"{compared} codes of a stranger were compared while the brake was on, {ALLOWED} is allowed"
        watch.holds(said, compared <= ALLOWED, len(answers))
        watch.served("a backup code", owner.guess(owner.recovery_codes.pop()))
        wrong = _by_cookie(known, account, owner.wrong_codes(1)[0])
        watch.holds(f"a known browser is stopped by the brake: {wrong.code}", wrong.code == "invalid_passcode")
    return f"wrong codes of a stranger, after {SPREAD} at other accounts in one hour"


@watched
def link_opened_elsewhere(target: Target, watch: Watch) -> str:
    """Have the owner open the link of a thief's login, which must not be confirmed by that."""
    control, inbox, owner = target.need_control(), target.need_inbox(), enrol(target)
    codes = owner.wrong_codes(5)
    watch.refused("the first wrong code of the hour", owner.guess(codes[0]), "invalid_passcode")
    with guessed_everywhere(control, SPREAD):
        for code in codes[1:3]:  # the first one puts the brake on, and the second one is the try of the day
            owner.guess(code)
        thief, challenge = owner.challenge()
        path = f"/v1/login/{challenge}"
        watch.refused("a thief's code under the brake", thief.verify(challenge, codes[3]), "too_many_requests")
        watch.served("the request of a link", thief.post(f"{path}/confirmation"), 202)
        mark = f"/browser/confirm#{challenge}."

        def mailed() -> str | None:
            bodies = (str(one["body"]) for one in inbox.messages() if one["to"] == owner.account.email)
            return next((body.partition(mark)[2].split()[0] for body in bodies if mark in body), None)

        link = {"token": str(wait_for(mailed, seconds=_NOTICE_SECONDS, every=0.3))}
        opened = target.browser().post(f"{path}/confirm", link)
        watch.refused("the link of a thief's login, in the owner's browser", opened, "other_browser")
        after = thief.verify(challenge, codes[4])
        watch.holds("a thief's code was compared after the owner opened the link", after.code == "too_many_requests")
        watch.served("the link in the browser that began the login", thief.post(f"{path}/confirm", link), 204)
    return "a link that was requested in one browser, opened in another one"


def _by_cookie(browser: Browser, account: Account, code: str) -> Answer:
    """Sign in as a browser does, which is known from then on."""
    begun = expect(browser.post("/v1/login", {"email": account.email, "password": account.password}), 200)
    return browser.post(f"/v1/login/{begun['challenge']['id']}/verify", {"code": code})


PROBES = (
    Probe(
        63,
        "guesses-spread",
        "Guesses over thousands of accounts, few at each",
        "found here",
        guesses_spread_over_accounts,
        alone=True,
    ),
    Probe(
        63,
        "link-elsewhere",
        "A link in a mail that confirms another browser than the one that opens it",
        "found here",
        link_opened_elsewhere,
        alone=True,
    ),
    Probe(63, "silent-guesses", "Few wrong codes an account, below every window", "found here", silent_guesses),
    Probe(71, "stuffing-hits", "Leaked passwords that cost their network nothing", "found here", stuffing_hits),
)
