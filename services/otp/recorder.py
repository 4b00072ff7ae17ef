"""The record of attempts, written after the answer.

Why after: a refused code then costs one Redis round trip (the count, which is what protects) and one SQL read, and an
accepted one the claim besides. The record is for people: the owner's timeline, support, the durable count of
consecutive failures. It may come a tenth of a second late, and a process killed with -9 may lose that much of it;
Redis has counted by then.
"""

import threading
import time
from collections import deque

import structlog
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from services.otp import attempt_batch
from services.otp.attempt_batch import Attempt, Settle
from services.otp.domain.attempt import Throttled
from shared.clock import Clock
from shared.signing import Signer

BATCH_SECONDS = 0.1
IDLE_LOOK_SECONDS = 0.5
PAUSE_AFTER_FAILURE_SECONDS = 0.5
LAST_TRIES = 3
CAPACITY = 10_000
# Throttled tries cost a stranger nothing, so they may not push the others out.
CAPACITY_FOR_THROTTLED = CAPACITY // 2

log = structlog.get_logger("otp.attempts")


class AttemptRecorder:
    """One thread a process, started by the first attempt, that writes what waits in batches."""

    def __init__(self, database: Engine, redis: Redis, clock: Clock, signer: Signer) -> None:
        self._database, self._redis, self._clock, self._signer = database, redis, clock, signer
        self._inbox: deque[Attempt] = deque()
        self._settles: deque[Settle] = deque(maxlen=CAPACITY)
        self._unwritten: list[Attempt] = []
        self._wake, self._closing = threading.Event(), threading.Event()
        self._writing, self._starting = threading.Lock(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._batch_due_at: float | None = None

    def record(self, attempt: Attempt) -> None:
        """Leave it to the thread; never waits and never fails."""
        room = CAPACITY_FOR_THROTTLED if isinstance(attempt.outcome, Throttled) else CAPACITY
        if len(self._inbox) + len(self._unwritten) >= room:
            log.error("attempt not recorded: too many wait", outcome=attempt.row.outcome)
            return
        self._inbox.append(attempt)
        if attempt.settle is not None:
            self.settle(attempt.settle)
            return
        self._start()
        if self._batch_due_at is None:
            self._wake.set()

    def settle(self, settle: Settle) -> None:
        """Give back at once, once, and as far as Redis takes it; never waits and never fails."""
        self._settles.append(settle)
        self._start()
        self._wake.set()

    def flush(self) -> None:
        """Write all that was recorded before this call. Raises SQL errors; what was not written waits on."""
        with self._writing:
            self._collect()
            if not self._unwritten:
                return
            try:
                attempt_batch.write(self._database, self._redis, self._clock, self._signer, self._unwritten)
            except (DataError, IntegrityError) as error:
                # The same rows would fail for ever and hold up all that come after them.
                log.error("attempts lost", count=len(self._unwritten), cause=type(error).__name__)  # noqa: TRY400
            self._unwritten = []

    def close(self) -> None:
        """Write what waits and stop."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                # Not a daemon: the interpreter waits for it, in a server's forked or spawned worker too, where atexit
                # functions don't run; the thread sees the main thread end and drains.
                self._thread = threading.Thread(target=self._run, name="attempts", daemon=False)
                self._thread.start()

    def _run(self) -> None:
        while not self._leaving():
            due_at = self._batch_due_at
            if self._wake.wait(IDLE_LOOK_SECONDS if due_at is None else max(0.0, due_at - time.monotonic())):
                self._wake.clear()
                # What a success gives back doesn't wait for the batch: the same person may sign in again at once.
                with self._writing:
                    self._collect()
                self._batch_due_at = due_at or time.monotonic() + BATCH_SECONDS
            elif due_at is not None:
                # Before the flush: an attempt that comes after it must see that nothing is due, and wake us.
                self._batch_due_at = None
                self._try_flush()
        for _ in range(LAST_TRIES):
            if self._try_flush():
                return
        log.error("attempts lost at exit", count=len(self._inbox) + len(self._unwritten))

    def _leaving(self) -> bool:
        return self._closing.is_set() or not threading.main_thread().is_alive()

    def _try_flush(self) -> bool:
        try:
            self.flush()
        except SQLAlchemyError as error:
            log.warning("attempts wait", count=len(self._unwritten), cause=type(error).__name__)
            self._closing.wait(PAUSE_AFTER_FAILURE_SECONDS)
            self._wake.set()
            return False
        return True

    def _collect(self) -> None:
        arrived = [self._inbox.popleft() for _ in range(len(self._inbox))]
        self._unwritten += attempt_batch.thinned(self._redis, arrived)
        attempt_batch.give_back(self._redis, [self._settles.popleft() for _ in range(len(self._settles))])
