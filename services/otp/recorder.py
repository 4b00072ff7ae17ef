"""The record of attempts, written after the answer.

Why after: a refused code then costs one Redis round trip (the count, which is what protects) and one SQL read, and an
accepted one the claim besides. The record is for people: the owner's timeline, support, the durable count of
consecutive failures. It may come a tenth of a second late, and a process killed with -9 may lose that much of it;
Redis has counted by then.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from services.otp import attempts_store, throttle_store
from services.otp.attempts_store import LOCKS, AttemptRow, Lock
from services.otp.domain.attempt import Brake, Outcome, Rejected, Throttled, Verified
from services.otp.limits import consecutive_failures
from services.otp.models import outbox as outbox_tables
from shared import budgets, outbox
from shared.budgets import REFUND_SCRIPT, Charge
from shared.clock import Clock
from shared.database import writing
from shared.ids import new_id
from shared.lua import execute_scripted
from shared.messages import EVERYWHERE, NEW_BROWSERS, SecondFactorLocked

BATCH_SECONDS = 0.05
IDLE_LOOK_SECONDS = 0.5
PAUSE_AFTER_FAILURE_SECONDS = 0.5
LAST_TRIES = 3
CAPACITY = 10_000
# Throttled tries cost a stranger nothing, so they may not push the others out.
CAPACITY_FOR_THROTTLED = CAPACITY // 2

log = structlog.get_logger("otp.attempts")

Settle = Callable[[Pipeline], None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to be recorded.

    ``second_factor``: it counts for the hard stop. ``settle`` adds what a success gives back to a Redis pipeline.
    ``braked_by``: the budget that throttled it, where one did. ``has_row``: a throttled try that isn't the first of its
    wait counts, and has no row.
    """

    row: AttemptRow
    outcome: Outcome
    second_factor: bool
    settle: Settle | None = None
    braked_by: Charge | None = None
    has_row: bool = True


class AttemptRecorder:
    """One thread a process, started by the first attempt, that writes what waits in batches."""

    def __init__(self, database: Engine, redis: Redis, clock: Clock) -> None:
        self._database, self._redis, self._clock = database, redis, clock
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
                self._write(self._unwritten)
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
        self._unwritten += self._thinned([self._inbox.popleft() for _ in range(len(self._inbox))])
        self._give_back([self._settles.popleft() for _ in range(len(self._settles))])

    def _thinned(self, arrived: list[Attempt]) -> list[Attempt]:
        """Of the throttled tries only the first of each wait keeps its row."""
        throttled = [
            (attempt.braked_by, attempt.outcome)
            for attempt in arrived
            if isinstance(attempt.outcome, Throttled) and attempt.braked_by is not None
        ]
        told = throttle_store.keys_of_later_tries(self._redis, throttled)
        thinned = []
        for attempt in arrived:
            if isinstance(attempt.outcome, Throttled) and attempt.braked_by is not None:
                key = throttle_store.key(attempt.braked_by)
                thinned.append(replace(attempt, has_row=key not in told))
                told.add(key)
            else:
                thinned.append(attempt)
        return thinned

    def _give_back(self, settles: list[Settle]) -> None:
        if not settles:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for settle in settles:
            settle(pipeline)
        try:
            execute_scripted(self._redis, pipeline, REFUND_SCRIPT)
        except RedisError as error:
            # Once only: a refund that may have happened must not happen twice. The windows end by themselves.
            log.warning("tries not given back", count=len(settles), cause=type(error).__name__)

    def _write(self, batch: list[Attempt]) -> None:
        counts: dict[str, _Count] = {}
        for attempt in batch:
            if attempt.second_factor:
                counts.setdefault(attempt.row.account_id, _Count()).add(attempt)
        in_redis = self._count_in_redis([account for account, count in sorted(counts.items()) if count.stopped])
        with writing(self._database) as connection:
            attempts_store.insert_attempts(connection, [attempt.row for attempt in batch if attempt.has_row])
            in_sql = self._count(connection, counts, in_redis)
        self._keep_up({account: failures for account, failures in in_sql.items() if counts[account].failures})

    def _count(self, connection: Connection, counts: dict[str, "_Count"], in_redis: dict[str, int]) -> dict[str, int]:
        """Keep the durable count of consecutive failures, report each lock once; how the accounts stand now."""
        accounts = sorted(counts)  # one order for all writers: no deadlock
        attempts_store.forgive(connection, [account for account in accounts if counts[account].forgiven])
        failed = [(account, counts[account].failures, counts[account].at) for account in accounts]
        attempts_store.add_failures(connection, [row for row in failed if row[1]])
        attempts_store.raise_failures(connection, [(account, n, counts[account].at) for account, n in in_redis.items()])
        standing = attempts_store.read_all_failures(connection, accounts)
        for account_id, (failures, untold) in standing.items():
            if not counts[account_id].ends_in_success:
                self._report(connection, account_id, failures, [lock for lock in LOCKS if lock in untold])
        return {account_id: failures for account_id, (failures, _) in standing.items()}

    def _report(self, connection: Connection, account_id: str, failures: int, locks: list[Lock]) -> None:
        for lock in locks:
            now = self._clock()
            if not attempts_store.lock_once(connection, lock, account_id, now):
                continue
            event = SecondFactorLocked(
                id=new_id("evt"),
                occurred_at=now,
                account_id=account_id,
                consecutive_failures=failures,
                scope=EVERYWHERE if lock.everywhere else NEW_BROWSERS,
            )
            outbox.record(connection, outbox_tables, event)
            log.warning("second factor locked", account_id=account_id, consecutive_failures=failures, scope=event.scope)

    def _count_in_redis(self, accounts: list[str]) -> dict[str, int]:
        """Where the row of failures stands, of those whom Redis has stopped. Now, for a success may have ended it."""
        try:
            return {account: budgets.count(self._redis, consecutive_failures(account)) for account in accounts}
        except RedisError:
            return {}  # nothing to catch up with; who is stopped comes again

    def _keep_up(self, in_sql: dict[str, int]) -> None:
        """Redis never stands below SQL for longer than a batch.

        It may: a success takes back all that was counted before it, and with it a try that was found wrong after it;
        and a try that was compared while Redis was lost is in SQL alone.
        """
        try:
            budgets.keep_up(self._redis, {consecutive_failures(account): n for account, n in in_sql.items()})
        except RedisError as error:
            log.warning("failures not kept up", count=len(in_sql), cause=type(error).__name__)


class _Count:
    """What a batch holds of one account: whether a success ended the row of failures, and how many came since."""

    def __init__(self) -> None:
        self.forgiven = self.stopped = self.ends_in_success = False
        self.failures = 0
        self.at: datetime

    def add(self, attempt: Attempt) -> None:
        """Count on."""
        self.at = attempt.row.at
        self.ends_in_success = isinstance(attempt.outcome, Verified)
        match attempt.outcome:
            case Verified():
                self.forgiven, self.failures, self.stopped = True, 0, False
            case Rejected():
                self.failures += 1
            case Throttled(brake=Brake.HARD_STOP):
                self.stopped = True
