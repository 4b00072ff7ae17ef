"""Verify a second factor: count, compare, claim, record. README.md has the picture."""

from collections.abc import Iterable, Mapping

from redis.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.otp import attempts_store, factors, sms_store
from services.otp.attempt_batch import Attempt
from services.otp.deps import Deps
from services.otp.domain.attempt import Brake, Outcome, Throttled, Verified, Verify
from services.otp.domain.failure_row import FailureRow
from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import PURPOSES
from services.otp.limits import FAILURES_IN_A_ROW, NEVER_SET, durable_row, failure_rows, looked_at, verify_charge
from services.otp.outcomes import answer, attempt_row
from services.otp.sms_store import LivePasscode, Slot
from shared import budgets
from shared.budgets import Charge, Taken
from shared.database import reading
from shared.problems import Unavailable


def verify(deps: Deps, command: Verify) -> Verified:
    """Say which factor this code is, and use it up.

    A code that was accepted a moment ago for the same purpose and binding is that success, told again: no new one, so
    it ends no row of failures and leaves no record, and its try is given back.

    Raises invalid_passcode, too_many_requests, second_factor_locked, two_factor_off, and whatever a store raises that
    is down: then the answer is 503, nothing is let through, and the try is given back, for nobody learned anything of
    the code. A refund that Redis doesn't take, and a process killed before it was sent, leave the try counted.
    """
    rule, charge = PURPOSES[command.purpose], verify_charge(command)
    rows = failure_rows(command.purpose, command.account_id, command.binding, command.device_id)
    counted = rows if command.six_digits else {}
    slot = Slot(command.account_id, command.purpose, command.binding)

    def give_back(pipeline: Pipeline) -> None:
        budgets.queue_refund(pipeline, charge, *counted.values())

    def recall() -> Mapping[Charge, int]:
        """What is on its way to SQL first: Redis may have been lost in the very moment that it takes."""
        deps.recorder.flush()
        with reading(deps.database) as connection:
            read = attempts_store.read_failures(connection, command.account_id)
        return {durable_row(row, command.account_id): failures for row, failures in read.in_a_row.items()}

    # A backup code counts in no row of failures and ends rows all the same, so it looks how they stand.
    looks = rows.values() if counted else [looked_at(row) for row in rows.values()]
    taken = budgets.take(deps.redis, charge, *looks, read=[slot.key, slot.accepted_key, NEVER_SET], recall=recall)
    live, accepted = sms_store.parse(taken.read[0], deps.clock()), sms_store.parse_accepted(taken.read[1])
    stand = dict(zip(rows, taken.counts[1:], strict=True))
    try:
        outcome = _throttled(taken, rows) or _compare(deps, command, live, accepted)
    except (RedisError, DBAPIError, PoolTimeoutError, Unavailable):
        # Either nothing was compared, or the code was right and its claim failed: a wrong code is an outcome, and
        # nothing fails after it. A right code needs no protection against guessing, and whoever meets this 503 has
        # learned by it, refund or none, that the code was right; if the claim did happen, the next try is a repeat.
        deps.recorder.settle(give_back)
        raise
    if isinstance(outcome, Verified) and outcome.repeated:
        deps.recorder.settle(give_back)
        return outcome

    def settle(pipeline: Pipeline) -> None:
        """A success pays for nothing, ends its rows of failures, and makes a text that still waits superfluous.

        The rows up to itself: what failed since then, before this runs, begins the next one.
        """
        own_try = 1 if counted else 0
        ended = {
            failures: stand[row] if FAILURES_IN_A_ROW[row].ended_by_success else own_try
            for row, failures in rows.items()
        }
        budgets.queue_refunds(pipeline, {charge: 1, **ended})
        sms_store.queue_forget(pipeline, slot, live)

    row = attempt_row(
        outcome,
        command.account_id,
        command.purpose,
        deps.clock(),
        device_known=command.device_known,
        challenge_id=command.challenge_id,
    )
    deps.recorder.record(
        Attempt(
            row,
            outcome,
            rule.second_factor,
            frozenset(counted),
            settle if isinstance(outcome, Verified) else None,
            braked_by=rows[outcome.spent] if isinstance(outcome, Throttled) and outcome.spent else charge,
        )
    )
    spent = [row for row in counted if stand[row] >= FAILURES_IN_A_ROW[row].at_most]
    return answer(outcome, taken, charge, spent_rows=spent, cause=None if command.six_digits else "backup_code")


def _throttled(taken: Taken, rows: Iterable[FailureRow]) -> Throttled | None:
    if taken.allowed:
        return None
    spent = next((row for row, wait in zip(rows, taken.waits[1:], strict=True) if wait), None)
    if spent is not None:
        return Throttled(Brake.HARD_STOP, spent=spent)
    return Throttled(Brake.BUDGET, taken.retry_after_seconds)


def _compare(deps: Deps, command: Verify, live: list[LivePasscode], accepted: list[LivePasscode]) -> Outcome:
    if isinstance(command.code, Passcode):
        return factors.by_passcode(deps, command, command.code, live, accepted)
    return factors.by_recovery_code(deps, command, command.code)
