"""A reset of two-factor authentication and the states that it goes through.

    awaiting_approval -> cooling_off -> approved -> applied
            |                |             |
            +-- cancelled <--+             |
            +---- ended <----+-------------+

It skips the states that its policy rule does not ask for. ``cancelled``: an operator or the owner called it off.
``ended``: it may not go on, for the reason in ``ended_because``.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.auth.domain.identity_checks import Passed


class Path(StrEnum):
    """``IMMEDIATE``: once approved, it happens. ``COOL_OFF``: the owner first has time to cancel."""

    IMMEDIATE = "immediate"
    COOL_OFF = "cool_off"


class Status(StrEnum):
    """Where a reset stands."""

    AWAITING_APPROVAL = "awaiting_approval"
    COOLING_OFF = "cooling_off"
    APPROVED = "approved"
    APPLIED = "applied"
    CANCELLED = "cancelled"
    ENDED = "ended"


class ReasonKind(StrEnum):
    """What became of the factor. A stolen one is suspended at the decision, and cannot end the reset."""

    LOST = "lost"
    STOLEN = "stolen"


class EndedBecause(StrEnum):
    """Why a reset may not go on."""

    NOT_APPROVED_IN_TIME = "not_approved_in_time"
    CHECKS_NO_LONGER_HOLD = "checks_no_longer_hold"
    OWNER_SIGNED_IN = "owner_signed_in"
    TWO_FACTOR_CHANGED = "two_factor_changed"
    OPERATOR_GONE = "operator_gone"
    NOTHING_TO_REMOVE = "nothing_to_remove"
    RESTORED = "restored_from_backup"


CANCELLABLE = (Status.AWAITING_APPROVAL, Status.COOLING_OFF)
OPEN_STATUSES = (*CANCELLABLE, Status.APPROVED)
# It has removed nothing and never will, so there is nothing left to cancel.
OVER_WITHOUT_EFFECT = (Status.CANCELLED, Status.ENDED)

# Where a reset of this path goes once nobody's approval is missing.
AFTER_APPROVAL = {Path.IMMEDIATE: Status.APPROVED, Path.COOL_OFF: Status.COOLING_OFF}

# The problem code with which the approval of a reset that may not go on is refused.
REFUSED_WITH = {
    EndedBecause.CHECKS_NO_LONGER_HOLD: "identity_checks_insufficient",
    EndedBecause.OPERATOR_GONE: "operator_gone",
}


@dataclass(frozen=True, slots=True)
class Reset:
    """A reset as stored.

    ``authenticators``: the ids that it removes, and no other. ``requested_by`` is None for the command line.
    ``evidence``: for each check what was seen, by whom and when. The rule's numbers stand as they were decided.
    """

    id: str
    account_id: str
    status: Status
    path: Path
    rule: str
    approvals_needed: int
    cool_off_seconds: int
    ticket: str
    reason: str
    reason_kind: ReasonKind
    identity_checks: list[str]
    evidence: list[dict[str, Any]]
    authenticators: list[str]
    requested_by: str | None
    requested_at: datetime
    approval_ends_at: datetime | None
    cool_off_ends_at: datetime | None
    approved_by: str | None
    second_approved_by: str | None
    approved_at: datetime | None
    applied_at: datetime | None
    cancelled_by: str | None
    cancelled_at: datetime | None
    ended_because: EndedBecause | None
    enrollment_word_id: str | None

    @property
    def passed(self) -> list[Passed]:
        """The checks that it rests on."""
        return [Passed(one["check"], one["confirmed_by"]) for one in self.evidence]

    @property
    def confirmed_by(self) -> frozenset[str]:
        """The owners whose approval it rests on."""
        return frozenset(one.confirmed_by for one in self.passed if one.confirmed_by is not None)

    @property
    def operators(self) -> frozenset[str]:
        """Those who asked for it or approved it."""
        people = self.requested_by, self.approved_by, self.second_approved_by
        return frozenset(person for person in people if person is not None)

    @property
    def approvals_missing(self) -> int:
        """How many other operators must still agree."""
        if self.status is not Status.AWAITING_APPROVAL:
            return 0
        return self.approvals_needed - (self.approved_by is not None) - (self.second_approved_by is not None)

    def why_not_approved_by(self, operator_id: str, now: datetime) -> str | None:
        """The problem code with which this operator's approval would be refused, or None."""
        if operator_id == self.account_id:
            return "own_account"
        if self.status is not Status.AWAITING_APPROVAL or self.has_lapsed(now):
            return "reset_not_open"
        if operator_id in self.operators | self.confirmed_by:
            return "same_operator"
        return None

    def has_lapsed(self, now: datetime) -> bool:
        """Whether its approval was not given in time."""
        return self.approval_ends_at is not None and now >= self.approval_ends_at
