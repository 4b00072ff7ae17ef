"""Connections that send half a request, or never read (row 37)."""

import time
from collections.abc import Callable, Sequence

import urllib3

from deploy.attack.people import Owner, enrol
from deploy.attack.probe import Probe, Target
from deploy.attack.slow import CONNECTIONS, slow_clients
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer

ENDED_WITHIN_SECONDS = 10.0
HEALTH_CALLS = 100
# Twice what it takes without them; below this, a busy machine decides.
AT_LEAST_SECONDS = 0.25
GIVES_UP_SECONDS = 5.0
LARGE = ("/docs/swagger-ui-bundle.js", "/openapi.json", "/healthz")


@watched
def slow_connections(target: Target, watch: Watch) -> str:
    """Hundreds of connections at the gateway, then at otp; meanwhile a user signs in and the load balancer asks."""
    owner = enrol(target)
    gateway = target.browser(patient=False)
    large = next(path for path in LARGE if gateway.get(path).status == 200)
    worst = _beside(target, watch, owner, target.base_url, "/v1/login", large)
    told = f"{CONNECTIONS} half requests and unread answers at the gateway"
    if target.control is not None:
        otp = target.control.settings.otp_url
        worst = max(worst, _beside(target, watch, owner, otp, "/accounts/acc_0/verifications", "/healthz"))
        told += ", and as many at otp"
    return f"{told}: health and codes went on, and each connection was ended, after {worst:.1f} s at most"


def _beside(target: Target, watch: Watch, owner: Owner, url: str, path: str, large: str) -> float:
    """The longest that a connection lasted."""
    browser, challenge = owner.challenge()
    wrong, code = owner.wrong_codes(1)[0], owner.recovery_codes.pop()
    impatient = target.copy_of(browser, patient=False)
    quiet = _percentile(_health(url))
    with slow_clients(url, path, large, again=False) as clients:
        held = clients.open
        busy = _percentile(_health(url))
        refused = _timed(lambda: impatient.verify(challenge, wrong))
        let_in = _timed(lambda: impatient.verify(challenge, code))
        watch.holds(f"{url} ended {CONNECTIONS - held} connections at once", held >= CONNECTIONS // 2, tries=0)
        clients.wait(ENDED_WITHIN_SECONDS)
        lasted = clients.lasted()
    watch.tries += CONNECTIONS
    allowed = max(2 * quiet, AT_LEAST_SECONDS)
    watch.holds(f"health took {busy:.2f} s beside slow connections, {quiet:.3f} s without", busy <= allowed, tries=0)
    for what, answer, status in (("a wrong code", refused, 401), ("a backup code", let_in, 200)):
        said = "no answer" if answer is None else f"{answer.status} {answer.code or ''}".rstrip()
        watch.holds(f"{what} beside slow connections: {said}", answer is not None and answer.status == status, tries=0)
    for kind, seconds in lasted.items():
        watch.holds(
            f"a connection with {kind} lasted {max(seconds):.0f} s", max(seconds) < ENDED_WITHIN_SECONDS, tries=0
        )
    return max(max(seconds) for seconds in lasted.values())


def _health(url: str) -> Sequence[float]:
    """The seconds of each call, over one kept connection; one that is not answered counts as its whole time-out."""
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(GIVES_UP_SECONDS))
    seconds = []
    for _ in range(HEALTH_CALLS):
        started = time.monotonic()
        try:
            pool.request("GET", f"{url}/healthz")
        except urllib3.exceptions.HTTPError:
            return [GIVES_UP_SECONDS]
        seconds.append(time.monotonic() - started)
    return seconds


def _percentile(seconds: Sequence[float]) -> float:
    """The 99th."""
    return sorted(seconds)[int(len(seconds) * 0.99) - 1] if len(seconds) > 1 else seconds[0]


def _timed(call: Callable[[], Answer]) -> Answer | None:
    try:
        return call()
    except urllib3.exceptions.HTTPError:
        return None


PROBES = (
    Probe(
        37,
        "slow-connections",
        "Connections that send half a head or body, or never read, and hold all request threads",
        "–",
        slow_connections,
        alone=True,
    ),
)
