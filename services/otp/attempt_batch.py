"""What is done with a batch of attempts: tries are given back, floods thinned, failures counted, locks reported.

When, and by which thread, is the recorder's business. The count of consecutive failures in SQL is the durable one;
Redis, which refuses, is held level with it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine

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
from shared.signing import Signer

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


def thinned(redis: Redis, arrived: list[Attempt]) -> list[Attempt]:
    """Of the throttled tries only the first of each wait keeps its row."""
    throttled = [
        (attempt.braked_by, attempt.outcome)
        for attempt in arrived
        if isinstance(attempt.outcome, Throttled) and attempt.braked_by is not None
    ]
    told = throttle_store.keys_of_later_tries(redis, throttled)
    kept = []
    for attempt in arrived:
        if isinstance(attempt.outcome, Throttled) and attempt.braked_by is not None:
            key = throttle_store.key(attempt.braked_by)
            kept.append(replace(attempt, has_row=key not in told))
            told.add(key)
        else:
            kept.append(attempt)
    return kept


def give_back(redis: Redis, settles: list[Settle]) -> None:
    """What successes and outages give back, in one exchange. Never raises: Redis may be away."""
    if not settles:
        return
    pipeline = redis.pipeline(transaction=False)
    for settle in settles:
        settle(pipeline)
    try:
        execute_scripted(redis, pipeline, REFUND_SCRIPT)
    except RedisError as error:
        # Once only: a refund that may have happened must not happen twice. The windows end by themselves.
        log.warning("tries not given back", count=len(settles), cause=type(error).__name__)


def write(database: Engine, redis: Redis, clock: Clock, signer: Signer, batch: list[Attempt]) -> None:
    """Keep the rows and the durable counts, report new locks, hold Redis level.

    Raises SQL errors, and nothing is kept then.
    """
    counts: dict[str, _Count] = {}
    for attempt in batch:
        if attempt.second_factor:
            counts.setdefault(attempt.row.account_id, _Count()).add(attempt)
    in_redis = _count_in_redis(redis, [account for account, count in sorted(counts.items()) if count.stopped])
    with writing(database) as connection:
        attempts_store.insert_attempts(connection, [attempt.row for attempt in batch if attempt.has_row])
        in_sql = _count(connection, clock, signer, counts, in_redis)
    _keep_up(redis, {account: failures for account, failures in in_sql.items() if counts[account].failures})


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


def _count(
    connection: Connection, clock: Clock, signer: Signer, counts: dict[str, _Count], in_redis: dict[str, int]
) -> dict[str, int]:
    """Keep the durable count of consecutive failures, report each lock once; how the accounts stand now."""
    accounts = sorted(counts)  # one order for all writers: no deadlock
    attempts_store.forgive(connection, [account for account in accounts if counts[account].forgiven])
    failed = [(account, counts[account].failures, counts[account].at) for account in accounts]
    attempts_store.add_failures(connection, [row for row in failed if row[1]])
    attempts_store.raise_failures(connection, [(account, n, counts[account].at) for account, n in in_redis.items()])
    standing = attempts_store.read_all_failures(connection, accounts)
    for account_id, (failures, untold) in standing.items():
        if not counts[account_id].ends_in_success:
            locks = [lock for lock in LOCKS if lock in untold]
            _report(connection, clock, signer, account_id, failures, locks)
    return {account_id: failures for account_id, (failures, _) in standing.items()}


def _report(
    connection: Connection, clock: Clock, signer: Signer, account_id: str, failures: int, locks: list[Lock]
) -> None:
    for lock in locks:
        now = clock()
        if not attempts_store.lock_once(connection, lock, account_id, now):
            continue
        event = SecondFactorLocked(
            id=new_id("evt"),
            occurred_at=now,
            account_id=account_id,
            consecutive_failures=failures,
            scope=EVERYWHERE if lock.everywhere else NEW_BROWSERS,
        )
        outbox.record(connection, outbox_tables, event, signer)
        log.warning("second factor locked", account_id=account_id, consecutive_failures=failures, scope=event.scope)


def _count_in_redis(redis: Redis, accounts: list[str]) -> dict[str, int]:
    """Where the row of failures stands, of those whom Redis has stopped. Now, for a success may have ended it."""
    try:
        return {account: budgets.count(redis, consecutive_failures(account)) for account in accounts}
    except RedisError:
        return {}  # nothing to catch up with; who is stopped comes again


def _keep_up(redis: Redis, in_sql: dict[str, int]) -> None:
    """Redis never stands below SQL for longer than a batch.

    It may: a success takes back all that was counted before it, and with it a try that was found wrong after it;
    and a try that was compared while Redis was lost is in SQL alone.
    """
    try:
        budgets.keep_up(redis, {consecutive_failures(account): n for account, n in in_sql.items()})
    except RedisError as error:
        log.warning("failures not kept up", count=len(in_sql), cause=type(error).__name__)
