"""A reset of two-factor authentication and the states that it goes through.

    awaiting_approval -> cooling_off -> approved -> applied
            |                |
            +-- cancelled <--+

It starts in the first state that its policy rule asks for, and skips those that it does not.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.auth.domain.reset_policy import Path


class Status(StrEnum):
    """Where a reset stands."""

    AWAITING_APPROVAL = "awaiting_approval"
    COOLING_OFF = "cooling_off"
    APPROVED = "approved"
    APPLIED = "applied"
    CANCELLED = "cancelled"


CANCELLABLE = (Status.AWAITING_APPROVAL, Status.COOLING_OFF)
OPEN_STATUSES = (*CANCELLABLE, Status.APPROVED)

# Where a reset of this path goes once nobody's approval is missing.
AFTER_APPROVAL = {Path.IMMEDIATE: Status.APPROVED, Path.COOL_OFF: Status.COOLING_OFF}


@dataclass(frozen=True, slots=True)
class Reset:
    """A reset as stored, without the digest of its cancel token."""

    id: str
    account_id: str
    status: Status
    path: Path
    rule: str
    needs_second_operator: bool
    ticket: str
    reason: str
    identity_checks: list[str]
    requested_by: str
    requested_at: datetime
    cool_off_ends_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    applied_at: datetime | None
    cancelled_by: str | None
    cancelled_at: datetime | None


def cool_off_end(path: Path, begins_at: datetime, cool_off: timedelta) -> datetime | None:
    """When the cool-off ends that begins now; None on the immediate path."""
    return begins_at + cool_off if path is Path.COOL_OFF else None
