"""What is done with a batch of attempts: tries are given back, floods thinned, failures counted, locks reported.

When, and by which thread, is the recorder's business. The count of consecutive failures in SQL is the durable one;
Redis, which refuses, is held level with it.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine

from services.otp import attempts_store, throttle_store
from services.otp.attempts_store import TALLIES, AttemptRow, Standing
from services.otp.domain.attempt import Outcome, Rejected, Throttled, Verified
from services.otp.domain.failure_row import FailureRow
from services.otp.limits import durable_row
from services.otp.models import outbox as outbox_tables
from shared import budgets, outbox
from shared.budgets import REFUND_SCRIPT, Charge
from shared.clock import Clock
from shared.database import writing
from shared.ids import new_id
from shared.lua import execute_scripted
from shared.messages import SecondFactorLocked
from shared.signing import Signer

log = structlog.get_logger("otp.attempts")

Settle = Callable[[Pipeline], None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to be recorded.

    ``second_factor``: its success ends the account's row of all failures. ``failure_rows``: where it counts if it is
    wrong. ``settle`` adds what a success gives back to a Redis pipeline. ``braked_by``: the budget that throttled it,
    where one did. ``has_row``: a throttled try that isn't the first of its wait counts, and has no row.
    """

    row: AttemptRow
    outcome: Outcome
    second_factor: bool
    failure_rows: frozenset[FailureRow] = frozenset()
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
    stopped = [(account, row) for account, count in sorted(counts.items()) for row in sorted(count.stopped)]
    in_redis = _count_in_redis(redis, stopped)
    with writing(database) as connection:
        attempts_store.insert_attempts(connection, [attempt.row for attempt in batch if attempt.has_row])
        in_sql = _count(connection, clock, signer, counts, in_redis)
    failed = ((account, row) for account, count in counts.items() for row in TALLIES if count.failures[row])
    _keep_up(redis, {durable_row(row, account): in_sql[account][row].failures for account, row in failed})


class _Count:
    """What a batch holds of one account: whether a success ended the row of all failures, and what failed since."""

    def __init__(self) -> None:
        self.forgiven = self.ends_in_success = False
        self.failures: Counter[FailureRow] = Counter()
        self.stopped: set[FailureRow] = set()
        self.at: datetime

    def add(self, attempt: Attempt) -> None:
        """Count on."""
        self.at = attempt.row.at
        self.ends_in_success = isinstance(attempt.outcome, Verified)
        match attempt.outcome:
            case Verified():
                self.forgiven, self.failures[FailureRow.ALL] = True, 0
                self.stopped.discard(FailureRow.ALL)
            case Rejected():
                self.failures.update(attempt.failure_rows & TALLIES.keys())
            case Throttled(spent=FailureRow() as row) if row in TALLIES:
                self.stopped.add(row)


def _count(
    connection: Connection,
    clock: Clock,
    signer: Signer,
    counts: dict[str, _Count],
    in_redis: Mapping[tuple[str, FailureRow], int],
) -> Mapping[str, Mapping[FailureRow, Standing]]:
    """Keep the durable counts of failures in a row, report each lock once; how the accounts stand now."""
    accounts = sorted(counts)  # one order for all writers: no deadlock
    attempts_store.forgive(connection, [account for account in accounts if counts[account].forgiven])
    failed = [(account, counts[account].failures, counts[account].at) for account in accounts]
    attempts_store.add_failures(connection, [one for one in failed if any(one[1].values())])
    for row in TALLIES:
        raised = [(account, n, counts[account].at) for (account, stopped), n in in_redis.items() if stopped is row]
        attempts_store.raise_failures(connection, raised, row)
    standing = attempts_store.read_all_failures(connection, accounts)
    for account_id, rows in standing.items():
        for row, stands in rows.items():
            if stands.untold and not (row is FailureRow.ALL and counts[account_id].ends_in_success):
                _report(connection, clock, signer, account_id, row, stands.failures)
    return standing


def _report(
    connection: Connection, clock: Clock, signer: Signer, account_id: str, row: FailureRow, failures: int
) -> None:
    now, tally = clock(), TALLIES[row]
    if not attempts_store.lock_once(connection, tally, account_id, now):
        return
    event = SecondFactorLocked(
        id=new_id("evt"),
        occurred_at=now,
        account_id=account_id,
        consecutive_failures=failures,
        scope=tally.scope,
    )
    outbox.record(connection, outbox_tables, event, signer)
    log.warning("second factor locked", account_id=account_id, consecutive_failures=failures, scope=event.scope)


def _count_in_redis(redis: Redis, stopped: list[tuple[str, FailureRow]]) -> Mapping[tuple[str, FailureRow], int]:
    """Where the rows stand that Redis has stopped. Now, for a success may have ended one."""
    try:
        return {(account, row): budgets.count(redis, durable_row(row, account)) for account, row in stopped}
    except RedisError:
        return {}  # nothing to catch up with; who is stopped comes again


def _keep_up(redis: Redis, in_sql: Mapping[Charge, int]) -> None:
    """Redis never stands below SQL for longer than a batch.

    It may: a success takes back all that was counted before it, and with it a try that was found wrong after it;
    and a try that was compared while Redis was lost is in SQL alone.
    """
    try:
        budgets.keep_up(redis, in_sql)
    except RedisError as error:
        log.warning("failures not kept up", count=len(in_sql), cause=type(error).__name__)
