"""Which addresses have an account: by words, by status, by limits and by time (row 26)."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.attack.accounts import Account
from deploy.attack.browser import Browser
from deploy.attack.probe import CannotTryError, Probe, Target
from deploy.attack.steps import unknown_address
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer

ACCOUNTS, PASSWORDS_AN_ACCOUNT = 4, 9
# The chance that a call for a known address takes longer than one for an unknown one; 0.5 is no difference. With 36
# pairs it strays from that by 0.07, so one round out of bounds is chance every 35th time, two on the same side once in
# thousands of runs. A gateway that hashes for known addresses only is at 1.
LOWEST, HIGHEST, ROUNDS = 0.35, 0.65, 2
NOT_COMPARED = {"date", "x-request-id", "content-length", "retry-after"}


@dataclass(slots=True)
class Samples:
    """Seconds of one kind of call, and the shapes of its answers."""

    seconds: list[float] = field(default_factory=list)
    shapes: set[str] = field(default_factory=set)

    def take(self, browser: Browser, email: str, number: int) -> Answer:
        """One wrong password for this address."""
        body = {"email": email, "password": f"wrong guess number {number}"}
        started = time.perf_counter()
        answer = browser.post("/v1/login", body)
        self.seconds.append(time.perf_counter() - started)
        self.shapes.add(_shape(answer))
        return answer


def chance_of_longer(left: Sequence[float], right: Sequence[float]) -> float:
    """How likely a value of ``left`` is above one of ``right`` (Mann and Whitney's U as a share; ties count half)."""
    above = sum((one > other) + (one == other) / 2 for one in left for other in right)
    return above / (len(left) * len(right))


@watched
def enumeration(target: Target, watch: Watch) -> str:
    """Wrong passwords for addresses with an account and without, one after the other."""
    if not target.client_addresses:
        _round(target, watch, accounts=1)
        return "wrong passwords for a known and an unknown address: same words (time needs --client-addresses)"
    _limits_agree(target, watch)
    chances, told = [], []
    for _ in range(ROUNDS):
        known, unknown = _round(target, watch, ACCOUNTS)
        chances.append(chance_of_longer(known.seconds, unknown.seconds))
        told.append(f"{_milliseconds(known.seconds)} against {_milliseconds(unknown.seconds)} ms")
        if LOWEST <= chances[-1] <= HIGHEST:
            break
    else:
        same_side = all(chance < LOWEST for chance in chances) or all(chance > HIGHEST for chance in chances)
        watch.holds(f"the time tells an account: {', '.join(told)}", not same_side, tries=0)
    shown = ", ".join(f"{chance:.2f}" for chance in chances)
    return (
        f"wrong passwords for known and unknown addresses in turn, to the limit: same words, medians {told[-1]}, "
        f"chance that the known one takes longer {shown} (from {LOWEST} to {HIGHEST} says nothing)"
    )


def _round(target: Target, watch: Watch, accounts: int) -> tuple[Samples, Samples]:
    known, unknown = Samples(), Samples()
    for account in _accounts(target, accounts):
        # One client for both: no connection of the one may be slower than that of the other.
        browser, stranger = target.browser(), unknown_address()
        browser.get("/v1/time")
        for number in range(PASSWORDS_AN_ACCOUNT):
            pair = ((known, account.email), (unknown, stranger))
            # Who is first changes, so that nothing that comes with the order counts for one of them.
            for samples, email in pair if number % 2 else pair[::-1]:
                samples.take(browser, email, number)
            watch.tries += 2
    watch.holds("the answers differ in words, status or headers", known.shapes == unknown.shapes, tries=0)
    return known, unknown


def _accounts(target: Target, wanted: int) -> list[Account]:
    """As many as there are; one is enough."""
    found: list[Account] = []
    for _ in range(wanted):
        try:
            found.append(target.account())
        except CannotTryError:
            if not found:
                raise
    return found


def _limits_agree(target: Target, watch: Watch) -> None:
    """An address without an account must run into the same limit after as many tries."""
    account, counts = target.account(), []
    for email in (account.email, unknown_address()):
        browser, samples = target.browser(), Samples()
        answers = [samples.take(browser, email, number) for number in range(12)]
        counts.append(sum(answer.status == 401 for answer in answers))
    watch.holds(f"{counts[0]} tries for a known address, {counts[1]} for an unknown one", counts[0] == counts[1], 24)


def _shape(answer: Answer) -> str:
    """All of an answer that may tell something; what changes from call to call is left out."""
    headers = sorted(
        (name.lower(), value) for name, value in answer.headers.items() if name.lower() not in NOT_COMPARED
    )
    return f"{answer.status} {answer.body} {headers}"


def _milliseconds(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.1f}"


PROBES = (
    Probe(
        26,
        "account-enumeration",
        "Which addresses have an account, by words, status, limit or time",
        "CVE-2026-23511, ASVS 6.3.8",
        enumeration,
    ),
)
