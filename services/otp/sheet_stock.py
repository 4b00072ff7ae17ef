"""Sheets of backup codes that are hashed before anybody waits for one.

Ten hashes take 0.3 s of CPU, and many times as long on a busy machine. A sheet belongs to nobody until it is taken, so
it can be made at any time. It waits in the memory of this process and nowhere else: a sheet in a store could be copied
and put back, and two accounts would get the same codes.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence

import structlog

from services.otp.domain.recovery_code import RecoveryCode, new_sheet
from shared.hashing import HashingPool, step_back

HashedSheet = Sequence[tuple[RecoveryCode, str]]

# Fifteen confirmations in a row met the old limit on a busy machine; two accounts may make ten sheets in ten minutes.
SHEETS_AHEAD = 16
EXPECTED_AT_MOST = 48
# Below this many the thread hashes without a pause. Above, it leaves a core four fifths of its time.
SCARCE = 4
_PAUSE_BY_WORK = 4
PAUSE_AFTER_FAILURE_SECONDS = 5.0

log = structlog.get_logger("otp.sheets")


def hashed_sheet(hashing: HashingPool) -> HashedSheet:
    """Ten codes with their argon2id hashes (ASVS 6.5.2), while the caller waits.

    Raises Unavailable when the hashing pool is full.
    """
    sheet = new_sheet()
    return list(zip(sheet, hashing.hash_many([code.secret for code in sheet]), strict=True))


class SheetStock:
    """One thread keeps ``ahead`` sheets ready, and one more for each enrollment that has begun.

    ``pause_seconds``: between a sheet that could not be hashed and the next try.
    """

    def __init__(self, hashing: HashingPool, *, ahead: int, pause_seconds: float = PAUSE_AFTER_FAILURE_SECONDS) -> None:
        self._hashing, self._ahead, self._pause_seconds = hashing, ahead, pause_seconds
        self._ready: deque[HashedSheet] = deque()
        self._expected = 0
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
            self._changed.notify()

    def take(self) -> HashedSheet | None:
        """A sheet that nobody else gets, or None when none is ready."""
        with self._changed:
            self._expected = max(self._expected - 1, 0)
            self._changed.notify()
            return self._ready.popleft() if self._ready else None

    def give_back(self, sheet: HashedSheet) -> None:
        """Keep a sheet whose codes nobody has seen for the next caller."""
        with self._changed:
            if self._ahead:
                self._ready.append(sheet)

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

    def _hash(self, code: RecoveryCode) -> str:
        begun = time.thread_time()
        encoded = self._hashing.hash_here(code.secret)
        if len(self._ready) >= SCARCE:
            time.sleep(_PAUSE_BY_WORK * (time.thread_time() - begun))
        return encoded
