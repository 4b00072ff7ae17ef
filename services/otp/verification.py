"""Verify a second factor: count, compare, claim, record. README.md has the picture."""

from collections.abc import Mapping
from dataclasses import dataclass

from redis.client import Pipeline

from services.otp import factors, sms_store
from services.otp.deps import Deps
from services.otp.domain.attempt import Brake, Outcome, Throttled, Verified, Verify
from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import PURPOSES
from services.otp.limits import CONSECUTIVE_FAILURES, HARD_STOP, verify_charge
from services.otp.outcomes import answer, attempt_row
from services.otp.recorder import Attempt
from services.otp.sms_store import LivePasscode, Slot
from shared import budgets
from shared.budgets import Charge, Taken
from shared.lua import execute_scripted


@dataclass(frozen=True, slots=True)
class Counted:
    """The reply to the one Redis round trip."""

    taken: Taken
    consecutive: int
    passcodes: Mapping[str, str]


def verify(deps: Deps, command: Verify) -> Verified:
    """Say which factor this code is, and use it up.

    Raises invalid_passcode, too_many_requests, second_factor_locked, two_factor_off, and whatever a store raises that
    is down: then the answer is 503, the try stays counted, and nothing is let through.
    """
    rule = PURPOSES[command.purpose]
    charge = verify_charge(command.purpose, command.account_id, command.device_id)
    hard_stop = Charge(CONSECUTIVE_FAILURES, command.account_id)
    slot = Slot(command.account_id, command.purpose, command.binding)
    charges = (charge, hard_stop) if rule.second_factor else (charge,)

    counted = _count(deps, charges, hard_stop, slot)
    live = sms_store.parse(counted.passcodes, deps.clock())
    outcome = _throttled(counted, charges, hard_stop) or _compare(deps, command, live)

    def settle(pipeline: Pipeline) -> None:
        """A success pays for nothing, ends the row of failures, and makes a text that still waits superfluous."""
        budgets.queue_refund(pipeline, charge)
        if rule.second_factor:
            pipeline.delete(*hard_stop.keys())
        sms_store.queue_forget(pipeline, slot, live)

    row = attempt_row(
        outcome, command.account_id, command.purpose, deps.clock(), device_known=command.device_id is not None
    )
    deps.recorder.record(Attempt(row, outcome, rule.second_factor, settle if isinstance(outcome, Verified) else None))
    return answer(outcome, counted.taken)


def _count(deps: Deps, charges: tuple[Charge, ...], hard_stop: Charge, slot: Slot) -> Counted:
    """Count the try before anything is read.

    One round trip but no transaction: the script is atomic by itself, and what follows it only reads.
    """
    pipeline = deps.redis.pipeline(transaction=False)
    budgets.queue_take(pipeline, *charges)
    pipeline.get(*hard_stop.keys())
    sms_store.queue_read(pipeline, slot)
    taken, consecutive, passcodes = execute_scripted(deps.redis, pipeline, budgets.TAKE_SCRIPT)
    return Counted(budgets.read_taken(taken), int(consecutive or 0), passcodes)


def _throttled(counted: Counted, charges: tuple[Charge, ...], hard_stop: Charge) -> Throttled | None:
    if counted.taken.allowed:
        return None
    if hard_stop in charges and counted.consecutive >= HARD_STOP:
        return Throttled(Brake.HARD_STOP)
    return Throttled(Brake.BUDGET, counted.taken.retry_after_seconds)


def _compare(deps: Deps, command: Verify, live: list[LivePasscode]) -> Outcome:
    if isinstance(command.code, Passcode):
        return factors.by_passcode(deps, command, command.code, live)
    return factors.by_recovery_code(deps, command, command.code)
