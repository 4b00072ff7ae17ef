"""What an attempt's outcome becomes: the record's row, and the answer or refusal that the caller hears."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from services.otp.attempts_store import AttemptRow
from services.otp.domain.attempt import Outcome, Rejected, Throttled, Verified
from services.otp.domain.failure_row import FailureRow
from shared.budgets import Taken
from shared.problems import Refusal


def attempt_row(
    outcome: Outcome,
    account_id: str,
    purpose: str,
    at: datetime,
    *,
    device_known: bool,
    challenge_id: str | None = None,
) -> AttemptRow:
    """The attempt as it is kept; the skew is kept even when the coach may not speak yet."""
    factor = reason = skew = until = None
    match outcome:
        case Verified():
            word, factor = "verified", outcome.factor
        case Rejected():
            word, reason, skew = "rejected", outcome.reason.word, outcome.clock_skew_seconds
        case Throttled():
            word, reason = "throttled", outcome.brake
            if outcome.retry_after_seconds is not None:
                until = at + timedelta(seconds=outcome.retry_after_seconds)
    return AttemptRow(account_id, at, purpose, factor, word, reason, skew, device_known, until, challenge_id)


def answer(outcome: Outcome, taken: Taken, spent_rows: Sequence[FailureRow] = ()) -> Verified:
    """The success, or the refusal raised. ``spent_rows`` are the rows of failures that this one has spent."""
    match outcome:
        case Verified():
            return outcome
        case Rejected():
            raise _invalid(outcome, taken, spent_rows)
        case Throttled():
            extra = {"spent_rows": [outcome.spent]} if outcome.spent else None
            raise Refusal(
                outcome.brake, retry_after_seconds=outcome.retry_after_seconds, reason=outcome.brake, extra=extra
            )


def _invalid(outcome: Rejected, taken: Taken, spent_rows: Sequence[FailureRow]) -> Refusal:
    # These three are for the gateway, which decides on notices and on what ends, and keeps them to itself.
    extra: dict[str, Any] = {"reason": outcome.reason.word, "recent_failures": taken.counts[0]}
    if spent_rows:
        extra["spent_rows"] = list(spent_rows)
    if outcome.coach_may_speak:
        extra["clock_skew_seconds"] = outcome.clock_skew_seconds
    return Refusal("invalid_passcode", reason=outcome.reason.word, extra=extra)
