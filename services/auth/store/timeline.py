"""SQL of the audit timeline: rows are added and read, never changed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from services.auth.models import BY_OPERATORS, accounts, timeline
from shared.ids import new_id


class Entry(StrEnum):
    """What can stand in a timeline: ``subject.what_happened``."""

    SIGNED_IN = "session.started"
    PASSWORD_REFUSED = "password.refused"  # noqa: S105
    SESSION_ENDED = "session.ended"
    STEPPED_UP = "session.stepped_up"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105
    TWO_FACTOR_ENABLED = "two_factor.enabled"
    TWO_FACTOR_DISABLED = "two_factor.disabled"
    SECOND_FACTOR_FAILED = "second_factor.failed"
    SECOND_FACTOR_LOCKED = "second_factor.locked"
    SECOND_FACTOR_UNLOCKED = "second_factor.unlocked"
    RECOVERY_CODE_SPENT = "recovery_code.spent"
    RECOVERY_CODES_REGENERATED = "recovery_codes.regenerated"
    DEVICE_TRUSTED = "trusted_device.added"
    DEVICES_REVOKED = "trusted_device.revoked"
    PHONE_PENDING = "phone.set"
    PHONE_CHANGED = "phone.changed"
    PHONE_REMOVED = "phone.removed"
    RESET_REFUSED = "two_factor.reset_refused"
    RESET_REQUESTED = "two_factor.reset_requested"
    RESET_APPROVED = "two_factor.reset_approved"
    RESET_CANCELLED = "two_factor.reset_cancelled"
    RESET_APPLIED = "two_factor.reset_applied"
    SMS_REQUESTED = "sms.requested"
    SMS_REFUSED = "sms.refused"
    SMS_DELIVERY = "sms.delivery_changed"
    SUPPORT_VIEWED = "support.viewed"
    ROLE_CHANGED = "role.changed"
    PERSONAL_DATA_ERASED = "personal_data.erased"


OWNER, SYSTEM = "owner", "system"

# The details that say something about a person, besides the IP. They stand apart, so that they can be erased from a
# row of the audit chain; everything else in a row stays for as long as the row does.
PERSONAL_DETAILS = frozenset({"browser", "phone_hint"})


def operator(account_id: str) -> str:
    """The actor of a support call."""
    return f"operator:{account_id}"


def team_owner(account_id: str) -> str:
    """The actor when a team's owner acts on a member's account."""
    return f"team-owner:{account_id}"


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One entry as read back."""

    position: int
    id: str
    at: datetime
    type: str
    actor: str
    ip: str | None
    details: dict[str, Any]


_WRITE = insert(timeline)


def write(
    connection: Connection,
    account_id: str | None,
    entry: Entry,
    at: datetime,
    *,
    actor: str = OWNER,
    ip: str | None = None,
    **details: Any,  # noqa: ANN401 - JSON
) -> None:
    """Add an entry, to nobody's timeline where there is no account. ``details`` are facts without secrets.

    Its seal follows, see services.auth.sealer.
    """
    row = {"id": new_id("evt"), "account_id": account_id, "at": at, "type": entry, "actor": actor, "ip": ip}
    personal = {name: details.pop(name) for name in PERSONAL_DETAILS & details.keys()}
    connection.execute(_WRITE, {**row, "details": details, "personal": personal or None})


def newest(connection: Connection, account_id: str, *, before: int | None, limit: int) -> list[TimelineRow]:
    """Entries newest first, from below position ``before``."""
    query = (
        select(timeline).where(timeline.c.account_id == account_id).order_by(timeline.c.position.desc()).limit(limit)
    )
    if before is not None:
        query = query.where(timeline.c.position < before)
    return [_row(row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """Something that an operator did to an account; the addresses as they are today, None for the command line's."""

    account_id: str
    account_email: str
    operator_email: str | None
    row: TimelineRow


def by_operators(
    connection: Connection,
    *,
    entry: str | None,
    operator_id: str | None,
    account_id: str | None,
    before: int | None,
    limit: int,
) -> list[OperatorRow]:
    """What operators did to all accounts, newest first, from below position ``before``."""
    acting = accounts.alias()
    query = (
        select(timeline, accounts.c.email.label("account_email"), acting.c.email.label("operator_email"))
        .join(accounts, accounts.c.id == timeline.c.account_id)
        .outerjoin(acting, acting.c.id == func.substr(timeline.c.actor, len(operator("")) + 1))
        .where(BY_OPERATORS)
        .order_by(timeline.c.position.desc())
        .limit(limit)
    )
    if entry is not None:
        query = query.where(timeline.c.type == entry)
    if operator_id is not None:
        query = query.where(timeline.c.actor == operator(operator_id))
    if account_id is not None:
        query = query.where(timeline.c.account_id == account_id)
    if before is not None:
        query = query.where(timeline.c.position < before)
    return [
        OperatorRow(row.account_id, row.account_email, row.operator_email, _row(row))
        for row in connection.execute(query)
    ]


def of_reset(connection: Connection, account_id: str, reset_id: str) -> list[TimelineRow]:
    """What happened to one reset, oldest first."""
    query = (
        select(timeline)
        .where(
            timeline.c.account_id == account_id,
            timeline.c.details["reset_id"].as_string() == reset_id,
        )
        .order_by(timeline.c.position)
    )
    return [_row(row) for row in connection.execute(query)]


def happened_since(connection: Connection, account_id: str, entry: Entry, moment: datetime) -> bool:
    """Whether there is such an entry from after ``moment``."""
    query = select(timeline.c.position).where(
        timeline.c.account_id == account_id, timeline.c.type == entry, timeline.c.at > moment
    )
    return connection.execute(query.limit(1)).first() is not None


def _row(row: Row[Any]) -> TimelineRow:
    details = {**row.details, **(row.personal or {})}
    return TimelineRow(row.position, row.id, row.at, row.type, row.actor, row.ip, details)
