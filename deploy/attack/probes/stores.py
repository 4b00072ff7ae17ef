"""Parts that are down (row 29), and a flood of logins (row 34)."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import urllib3

from deploy.attack.browser import Browser
from deploy.attack.inside import frozen
from deploy.attack.people import Owner, enrol, race, sign_in
from deploy.attack.probe import Probe, Target
from deploy.attack.steps import unknown_address
from deploy.attack.watch import Watch, watched
from deploy.local.stack import Stack
from deploy.portal import Answer, wait_for

ANSWER_SECONDS = 3.0  # what the gateway promises, also while a part of it hangs
# So many logins at once that hashing for all of them takes a few times as long as that, on this many cores.
FLOOD_SECONDS, FLOOD_CORES, AT_LEAST, AT_MOST = 3 * ANSWER_SECONDS, 2, 200, 800
_BACK_SECONDS = 30.0


@watched
def store_down(target: Target, watch: Watch) -> str:
    """Right and wrong codes and passwords while Redis hangs, and while otp is away."""
    control = target.need_control()
    owner, stepped = enrol(target), _impatient(target, sign_in(target, target.account()))
    for part, outage in OUTAGES.items():
        _meanwhile(target, watch, owner, stepped, part, outage(control))
    return "right and wrong codes, passwords, sessions while Redis hangs and while otp is stopped; the code afterwards"


def _meanwhile(
    target: Target, watch: Watch, owner: Owner, stepped: Browser, part: str, outage: AbstractContextManager[None]
) -> None:
    """Each call during the outage, all at one moment, for each may take its three seconds."""
    first, right = owner.challenge()
    second, wrong = owner.challenge()
    code, bad, account = owner.recovery_codes.pop(), owner.wrong_codes(1)[0], owner.account
    calls: dict[str, Callable[[], Answer]] = {
        "a right code": lambda: _impatient(target, first).verify(right, code),
        "a wrong code": lambda: _impatient(target, second).verify(wrong, bad),
        "a right password": lambda: target.browser(patient=False).log_in(account.email, account.password),
        "2FA's state": lambda: _impatient(target, owner.browser).get("/v1/two-factor"),
    }
    if part == "redis":  # these never ask otp
        calls |= {
            "a wrong password": lambda: target.browser(patient=False).log_in(account.email, "wrong password"),
            "a session": lambda: stepped.get("/v1/session"),
        }
    with outage:
        answers = race(list(calls.values()))
    for what, answer in zip(calls, answers, strict=True):
        watch.refused(f"{what} while {part} is down", answer, "service_unavailable")
        comes_back = answer.status != 503 or int(answer.headers.get("Retry-After", "0")) > 0
        watch.holds(f"{what} while {part} is down: 503 without Retry-After", comes_back, tries=0)
    back = _impatient(target, owner.browser)
    wait_for(lambda: back.get("/v1/two-factor").status == 200, seconds=_BACK_SECONDS)
    watch.served(f"the right code once {part} is back", first.verify(right, code))


def _impatient(target: Target, like: Browser) -> Browser:
    """One that takes 503 for an answer, with the other's session and logins."""
    return target.copy_of(like, patient=False)


@contextmanager
def _frozen_redis(control: Stack) -> Iterator[None]:
    with frozen(control.processes_of("redis")):
        yield


@contextmanager
def _stopped_otp(control: Stack) -> Iterator[None]:
    control.stop_program("otp")
    try:
        yield
    finally:
        control.start_program("otp")


OUTAGES: Mapping[str, Callable[[Stack], AbstractContextManager[None]]] = {"redis": _frozen_redis, "otp": _stopped_otp}


@watched
def argon2_flood(target: Target, watch: Watch) -> str:
    """Hundreds of logins at once; meanwhile somebody enters a code and the load balancer asks for health."""
    worst, logins = 0.0, _enough_logins(target)
    for _ in range(2):  # a machine that was busy with something else is asked once more
        seconds, refused = _flooded(target, watch, logins)
        worst = max(seconds.values())
        if worst <= ANSWER_SECONDS:
            break
    slow = ", ".join(f"{what} {took:.1f} s" for what, took in seconds.items() if took > ANSWER_SECONDS)
    watch.holds(f"behind {logins} logins waited: {slow}", worst <= ANSWER_SECONDS, tries=0)
    return (
        f"{logins} logins at once ({refused} turned away with 503 or 429); codes and health took {worst:.1f} s at most"
    )


def _enough_logins(target: Target) -> int:
    """How many logins at once starve the codes of a gateway that lets them, judged by how long one takes."""
    took = []
    for _ in range(5):
        started = time.monotonic()
        _log_in(target)
        took.append(time.monotonic() - started)
    return min(AT_MOST, max(AT_LEAST, round(FLOOD_SECONDS * FLOOD_CORES / min(took))))


def _flooded(target: Target, watch: Watch, logins_at_once: int) -> tuple[dict[str, float], int]:
    """The longest each kind of call took while the flood lasted, and how many of its logins were turned away."""
    owner = enrol(target)
    browser, challenge = owner.challenge()
    guesser, health = _impatient(target, browser), target.browser(patient=False)
    wrong, code = owner.wrong_codes(3), owner.app.fresh()
    longest = {"a wrong code": 0.0, "health": 0.0, "a right code": 0.0}

    def timed(what: str, call: Callable[[], Answer]) -> Answer | None:
        started = time.monotonic()
        try:
            return call()
        except urllib3.exceptions.TimeoutError:
            return None
        finally:
            longest[what] = max(longest[what], time.monotonic() - started)

    with ThreadPoolExecutor(logins_at_once, thread_name_prefix="flood") as threads:
        logins = [threads.submit(_log_in, target) for _ in range(logins_at_once)]
        wait_for(lambda: any(login.done() for login in logins), every=0.01)
        for guess in wrong:
            answer = timed("a wrong code", lambda: guesser.verify(challenge, guess))  # noqa: B023 - called here
            _is_answered(watch, "a wrong code", answer, 401)
            _is_answered(watch, "health", timed("health", lambda: health.get("/healthz")), 200)
        _is_answered(watch, "a right code", timed("a right code", lambda: guesser.verify(challenge, code)), 200)
        statuses = [login.result() for login in logins]
    watch.tries += logins_at_once
    faults = sum(status == 500 for status in statuses)
    watch.holds(f"{faults} logins of the flood met a fault", faults == 0, tries=0)
    return longest, sum(status in {429, 503} for status in statuses)


def _log_in(target: Target) -> int:
    """One login of the flood; 0 when there was no answer."""
    browser = target.browser(patient=False)
    try:
        return browser.log_in(unknown_address(), "some password").status
    except urllib3.exceptions.HTTPError:
        return 0


def _is_answered(watch: Watch, what: str, answer: Answer | None, status: int) -> None:
    got = "no answer" if answer is None else f"{answer.status} {answer.code or ''}".rstrip()
    watch.holds(f"{what} during a flood of logins: {got}", answer is not None and answer.status == status)


PROBES = (
    Probe(
        29,
        "store-down",
        "A store that is down taken for a wrong code, or for a pass",
        "ASVS 16.5.3",
        store_down,
        alone=True,
    ),
    Probe(34, "argon2-flood", "Many logins at once that starve codes and health checks", "–", argon2_flood, alone=True),
)
