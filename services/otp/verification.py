"""Verify a second factor: count, compare, claim, record. README.md has the picture."""

from redis.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.otp import attempts_store, factors, sms_store
from services.otp.attempt_batch import Attempt
from services.otp.deps import Deps
from services.otp.domain.attempt import Brake, Outcome, Throttled, Verified, Verify
from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import PURPOSES
from services.otp.limits import consecutive_failures, stop_at, verify_charge
from services.otp.outcomes import answer, attempt_row
from services.otp.sms_store import LivePasscode, Slot
from shared import budgets
from shared.budgets import Taken
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
    rule = PURPOSES[command.purpose]
    charge = verify_charge(command.purpose, command.account_id, command.device_id)
    stop = stop_at(command.purpose, six_digits=command.six_digits, device_known=command.device_known)
    failures = consecutive_failures(command.account_id, stop)
    slot = Slot(command.account_id, command.purpose, command.binding)
    charges = (charge, failures) if rule.second_factor else (charge,)

    def give_back(pipeline: Pipeline) -> None:
        budgets.queue_refund(pipeline, *charges)

    def recall() -> int:
        """What is on its way to SQL first: Redis may have been lost in the very moment that it takes."""
        deps.recorder.flush()
        with reading(deps.database) as connection:
            return attempts_store.read_failures(connection, command.account_id)

    taken = budgets.take(deps.redis, *charges, read=[slot.key, slot.accepted_key], recall=recall)
    live, accepted = sms_store.parse(taken.read[0], deps.clock()), sms_store.parse_accepted(taken.read[1])
    try:
        outcome = _throttled(taken, stop) or _compare(deps, command, live, accepted)
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
        """A success pays for nothing, ends the row of failures, and makes a text that still waits superfluous.

        The row up to itself: what failed since then, before this runs, begins the next one.
        """
        budgets.queue_refund(pipeline, charge)
        if rule.second_factor:
            budgets.queue_refund(pipeline, failures, tries=taken.counts[-1])
        sms_store.queue_forget(pipeline, slot, live)

    row = attempt_row(outcome, command.account_id, command.purpose, deps.clock(), device_known=command.device_known)
    deps.recorder.record(
        Attempt(
            row,
            outcome,
            rule.second_factor,
            settle if isinstance(outcome, Verified) else None,
            braked_by=failures if outcome == Throttled(Brake.HARD_STOP) else charge,
        )
    )
    return answer(outcome, taken)


def _throttled(taken: Taken, stop: int) -> Throttled | None:
    if taken.allowed:
        return None
    _tries, *in_a_row = taken.counts
    if in_a_row and in_a_row[0] >= stop:
        return Throttled(Brake.HARD_STOP)
    return Throttled(Brake.BUDGET, taken.retry_after_seconds)


def _compare(deps: Deps, command: Verify, live: list[LivePasscode], accepted: list[LivePasscode]) -> Outcome:
    if isinstance(command.code, Passcode):
        return factors.by_passcode(deps, command, command.code, live, accepted)
    return factors.by_recovery_code(deps, command, command.code)
