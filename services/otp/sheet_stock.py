"""Sheets of backup codes that are hashed before anybody waits for one.

Ten hashes take 0.3 s of CPU, and many times as long on a busy machine. A sheet belongs to nobody until it is taken, so
it can be made at any time. It waits in the memory of this process and nowhere else: a sheet in a store could be copied
and put back, and two accounts would get the same codes.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from services.otp.domain.recovery_code import RecoveryCode, new_sheet
from shared.deadline import at_most
from shared.hashing import PATIENCE_SECONDS, RETRY_AFTER_SECONDS, HashingPool, step_back
from shared.problems import Unavailable

HashedSheet = Sequence[tuple[RecoveryCode, str]]

# Fifteen confirmations in a row met the old limit on a busy machine; two accounts may make ten sheets in ten minutes.
SHEETS_AHEAD = 16
EXPECTED_AT_MOST = 48
# Below this many, and while a call waits, the thread hashes without a pause. Else it leaves a core four fifths of its
# time.
SCARCE = 4
_PAUSE_BY_WORK = 4
PAUSE_AFTER_FAILURE_SECONDS = 5.0
# New codes leave so many sheets for enrollments that have begun, so loops of new codes refuse no confirmation.
KEPT_FOR_ENROLLMENTS = 4

log = structlog.get_logger("otp.sheets")


def hashed_sheet(hashing: HashingPool) -> HashedSheet:
    """Ten codes with their argon2id hashes (ASVS 6.5.2), on the hashing pool's threads while the caller waits.

    For a process whose stock makes none. Raises Unavailable when the hashing pool is full.
    """
    sheet = new_sheet()
    return list(zip(sheet, hashing.hash_many([code.secret for code in sheet]), strict=True))


class SheetStock:
    """One thread keeps ``ahead`` sheets ready, and one more for each enrollment that has begun.

    Where none is ready, a call waits for the next one, ``patience_seconds`` at most. One confirmation and one call for
    new codes may wait at a time, because each keeps one of the server's four request threads. The next one gets 503.
    They take no place in the hashing pool, which is for backup codes that are entered.

    ``pause_seconds``: between a sheet that could not be hashed and the next try.
    """

    def __init__(
        self,
        hashing: HashingPool,
        *,
        ahead: int,
        pause_seconds: float = PAUSE_AFTER_FAILURE_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._hashing, self._ahead = hashing, ahead
        self._pause_seconds, self._patience_seconds = pause_seconds, patience_seconds
        self._ready: deque[HashedSheet] = deque()
        self._expected = 0
        self._waiting: set[str] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def fill(self) -> None:
        """Begin to make sheets; the thread dies with the process."""
        with self._changed:
            if self._thread is None and self._ahead:
                self._thread = threading.Thread(target=self._make_sheets, name="sheets", daemon=True)
                self._thread.start()

    def expect(self) -> None:
        """An enrollment has begun: a sheet will be taken soon."""
        with self._changed:
            self._expected = min(self._expected + 1, EXPECTED_AT_MOST)
            self._changed.notify_all()

    def take_expected(self) -> HashedSheet | None:
        """A sheet for an enrollment that has begun, which nobody else gets. None where no thread makes sheets.

        Raises Unavailable when none is ready in time, or another confirmation waits for one.
        """
        with self._changed:
            sheet = self._take("confirmation", lambda: 0)
            self._expected = max(self._expected - 1, 0)
            return sheet

    def take_spare(self) -> HashedSheet | None:
        """A sheet for new codes, as take_expected; it leaves some for the enrollments that have begun."""
        with self._changed:
            return self._take("new codes", lambda: min(self._expected, KEPT_FOR_ENROLLMENTS))

    def _take(self, who: str, kept: Callable[[], int]) -> HashedSheet | None:
        if len(self._ready) <= kept():
            if self._thread is None:
                return None
            self._await(who, lambda: len(self._ready) > kept())
        self._changed.notify_all()
        return self._ready.popleft()

    def _await(self, who: str, is_there: Callable[[], bool]) -> None:
        if who in self._waiting:
            raise Unavailable("backup codes", retry_after_seconds=RETRY_AFTER_SECONDS)
        self._waiting.add(who)
        try:
            if not self._changed.wait_for(is_there, at_most(self._patience_seconds)):
                raise Unavailable("backup codes", retry_after_seconds=RETRY_AFTER_SECONDS)
        finally:
            self._waiting.remove(who)

    def give_back(self, sheet: HashedSheet) -> None:
        """Keep a sheet whose codes nobody has seen for the next caller."""
        with self._changed:
            if self._ahead:
                self._ready.append(sheet)
                self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._ready)

    def _make_sheets(self) -> None:
        step_back()
        while True:
            with self._changed:
                while len(self._ready) >= self._ahead + self._expected:
                    self._changed.wait()
            try:
                sheet = [(code, self._hash(code)) for code in new_sheet()]
            except Exception:
                log.exception("no sheet made ahead")
                time.sleep(self._pause_seconds)
                continue
            with self._changed:
                self._ready.append(sheet)
                self._changed.notify_all()

    def _hash(self, code: RecoveryCode) -> str:
        begun = time.thread_time()
        encoded = self._hashing.hash_here(code.secret)
        if len(self._ready) >= SCARCE and not self._waiting:
            time.sleep(_PAUSE_BY_WORK * (time.thread_time() - begun))
        return encoded
