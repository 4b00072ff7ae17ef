"""otp takes 5 s for each answer: the gateway's threads do not all hang on it, and callers hear 503 in time."""

import threading
import time

import pytest

from deploy.portal import Portal
from tests.faults.ledger import Code, Fate
from tests.faults.people import step_now
from tests.faults.slow_line import slow_line
from tests.faults.stage import second_gateway
from tests.support.outages import WITHIN_SECONDS

pytestmark = pytest.mark.timeout(200)

SLOW_SECONDS = 12.0
USERS = 16  # twice the gateway's threads
# From the first failures until the breaker has seen enough of them.
NOTICED_SECONDS = 4.0
AT_ONCE_SECONDS = 1.0
# Those who find every thread waiting wait for one of them first.
ONSET_SECONDS = 2 * WITHIN_SECONDS


class Watcher(threading.Thread):
    """Asks for something that needs no otp, again and again; how long each answer took."""

    def __init__(self, portal: Portal) -> None:
        super().__init__()
        self._portal, self._stop_it = portal, threading.Event()
        self.seen: list[tuple[float, float, int]] = []

    def run(self) -> None:
        while not self._stop_it.wait(0.2):
            at = time.monotonic()
            status = self._portal.get("/v1/session").status
            self.seen.append((at, time.monotonic() - at, status))

    def stop(self) -> None:
        self._stop_it.set()
        self.join()

    def slowest(self, begin: float, end: float) -> float:
        return max(seconds for at, seconds, _ in self.seen if begin <= at < end)


def test_otp_slow(small):
    with slow_line(small.stack.settings.otp_port) as line, second_gateway(small, line.port) as base_url:

        def slow(run):
            (person,) = run.reserved
            portal, challenge = small.begin_login(person, base_url)
            digits = person.totp(step_now())
            assert portal.verify(challenge, digits).status == 200
            run.ledger.code(Code(person.id, "totp", digits, good=True, statuses=[200], fate=Fate.PASSED))
            watcher = Watcher(portal)
            watcher.start()
            run.begins()
            line.delay_seconds = 5.0
            time.sleep(SLOW_SECONDS)
            line.delay_seconds = 0.0
            run.ends()
            watcher.stop()
            run.notes.append(
                f"calls that need no otp: slowest {watcher.slowest(run.began, run.ended):.1f} s, "
                f"{watcher.slowest(run.began + NOTICED_SECONDS, run.ended):.1f} s once it is noticed"
            )
            run.watched = watcher

        runs = []

        def fault(run):
            runs.append(run)
            slow(run)

        own, small.base_url = small.base_url, base_url
        try:
            counted = small.play(
                "otp takes 5 s for each answer, for 12 s", fault, users=USERS, pace=3.0, reserve=1, after=10.0
            )
        finally:
            small.base_url = own
    (run,) = runs
    assert not counted.violations()
    assert {status for _, _, status in run.watched.seen} == {200}
    assert counted.unavailable > 0
    assert counted.slowest_seconds < ONSET_SECONDS
    late = [call.seconds for call in run.ledger.calls if call.at >= run.began + NOTICED_SECONDS]
    assert max(late) < WITHIN_SECONDS
    assert run.watched.slowest(run.began + NOTICED_SECONDS, run.ended) < AT_ONCE_SECONDS
    assert counted.recovery_seconds < 10
