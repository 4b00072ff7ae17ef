"""What an attempt's outcome becomes: the record's row, and the answer or refusal that the caller hears."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from services.otp.attempts_store import AttemptRow
from services.otp.domain.attempt import Outcome, Rejected, Throttled, Verified
from services.otp.domain.failure_row import FailureRow
from shared.budgets import Charge, Taken
from shared.clock import rfc3339
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


def answer(
    outcome: Outcome,
    taken: Taken,
    paid_by: Charge,
    *,
    spent_rows: Sequence[FailureRow] = (),
    cause: str | None = None,
) -> Verified:
    """The success, or the refusal raised.

    ``paid_by``: the first charge of ``taken``. ``spent_rows`` are the rows of failures that this try has spent.
    ``cause``: what a refused code was, if not six digits.
    """
    match outcome:
        case Verified():
            return outcome
        case Rejected():
            refusal = _invalid(outcome, taken, spent_rows, cause)
            taken.tell_last_tries(refusal, paid_by.rate)
            raise refusal
        case Throttled():
            extra = {"spent_rows": [outcome.spent]} if outcome.spent else None
            raise Refusal(
                outcome.brake, retry_after_seconds=outcome.retry_after_seconds, reason=outcome.brake, extra=extra
            )


def _invalid(outcome: Rejected, taken: Taken, spent_rows: Sequence[FailureRow], cause: str | None) -> Refusal:
    # These three are for the gateway, which decides on notices and on what ends, and keeps them to itself.
    extra: dict[str, Any] = {"reason": outcome.reason.word, "recent_failures": taken.counts[0]}
    if spent_rows:
        extra["spent_rows"] = list(spent_rows)
    if cause is not None:
        extra["cause"] = cause
    if outcome.coach_may_speak:
        extra["clock_skew_seconds"] = outcome.clock_skew_seconds
    if outcome.older_entry_begun_at is not None:
        extra |= {"cause": outcome.reason.word, "begun_at": rfc3339(outcome.older_entry_begun_at)}
    return Refusal("invalid_passcode", reason=outcome.reason.word, extra=extra)
