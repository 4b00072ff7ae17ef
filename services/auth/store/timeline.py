"""SQL of the audit timeline: rows are added and read, never changed."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from services.auth.models import BY_OPERATORS, accounts, timeline
from shared import journaling
from shared.ids import new_id


class Entry(StrEnum):
    """What can stand in a timeline: ``subject.what_happened``."""

    SIGNED_IN = "session.started"
    PASSWORD_REFUSED = "password.refused"  # noqa: S105
    PASSWORD_ACCEPTED = "password.accepted"  # noqa: S105 - and a code was asked for
    CONFIRMATION_MAILED = "login.confirmation_mailed"
    LOGIN_CONFIRMED = "login.confirmed"  # by the link of that mail
    SESSION_ENDED = "session.ended"
    STEPPED_UP = "session.stepped_up"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105
    TWO_FACTOR_ENABLED = "two_factor.enabled"
    TWO_FACTOR_DISABLED = "two_factor.disabled"
    ENROLLMENT_WORD_ISSUED = "enrollment_word.issued"
    ENROLLMENT_WORD_SPENT = "enrollment_word.spent"
    ENROLLMENT_WORD_REFUSED = "enrollment_word.refused"
    SECOND_FACTOR_FAILED = "second_factor.failed"
    SECOND_FACTOR_LOCKED = "second_factor.locked"
    SECOND_FACTOR_UNLOCKED = "second_factor.unlocked"
    STRANGERS_LET_TRY = "second_factor.strangers_let_try"
    UNLOCK_REQUESTED = "second_factor.unlock_requested"
    UNLOCK_REFUSED = "second_factor.unlock_refused"
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
    RESET_ENDED = "two_factor.reset_ended"
    IDENTITY_CHECK_BEGUN = "identity_check.begun"
    IDENTITY_CHECK_PASSED = "identity_check.passed"
    IDENTITY_CHECK_FAILED = "identity_check.failed"
    IDENTITY_CHECK_REFUSED = "identity_check.refused"
    IDENTITY_CHECKS_CANCELLED = "identity_check.cancelled"
    SMS_REQUESTED = "sms.requested"
    SMS_REFUSED = "sms.refused"
    SMS_DELIVERY = "sms.delivery_changed"
    NOTICE_NOT_SENT = "notice.not_sent"
    SUPPORT_VIEWED = "support.viewed"
    SUPPORT_SEARCHED = "support.searched"
    ROLE_CHANGED = "role.changed"
    LANGUAGE_CHANGED = "language.changed"
    PERSONAL_DATA_ERASED = "personal_data.erased"
    RESTORED = "timeline.restored"
    TWO_FACTOR_LOST = "two_factor.lost_in_restore"
    TWO_FACTOR_REVOKED = "two_factor.revoked_in_restore"


OWNER, SYSTEM = "owner", "system"

# The details that say something about a person, besides the IP. They stand apart, so that they can be erased from a
# row of the audit chain; everything else in a row stays for as long as the row does.
PERSONAL_DETAILS = frozenset({"browser", "phone_hint", "evidence"})


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
    journaling.note(connection, account_id, entry, at, actor)


def newest(connection: Connection, account_id: str, *, before: int | None, limit: int) -> list[TimelineRow]:
    """Entries newest first, from below position ``before``."""
    query = (
        select(timeline).where(timeline.c.account_id == account_id).order_by(timeline.c.position.desc()).limit(limit)
    )
    if before is not None:
        query = query.where(timeline.c.position < before)
    return [_row(row) for row in connection.execute(query)]


def newest_of_types(
    connection: Connection, account_id: str, entries: Collection[Entry], *, limit: int
) -> list[TimelineRow]:
    """The ``limit`` newest of these entries, newest first."""
    query = (
        select(timeline)
        .where(timeline.c.account_id == account_id, timeline.c.type.in_(entries))
        .order_by(timeline.c.position.desc())
        .limit(limit)
    )
    return [_row(row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """Something that an operator did; the addresses as they are today.

    A search and a list concern no account. The command line has no address.
    """

    account_id: str | None
    account_email: str | None
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
    """What operators did, newest first, from below position ``before``."""
    acting = accounts.alias()
    query = (
        select(timeline, accounts.c.email.label("account_email"), acting.c.email.label("operator_email"))
        .outerjoin(accounts, accounts.c.id == timeline.c.account_id)
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


def stands(connection: Connection, account_id: str, entry: str, at: datetime) -> bool:
    """Whether the account's timeline has an entry with these values."""
    query = select(timeline.c.position).where(
        timeline.c.account_id == account_id, timeline.c.type == entry, timeline.c.at == at
    )
    return connection.execute(query.limit(1)).first() is not None


def newest_of(
    connection: Connection, account_ids: Collection[str], entries: Collection[Entry]
) -> dict[str, tuple[Entry, datetime]]:
    """The newest of these entries, by when it happened, of each account that has one."""
    query = (
        select(timeline.c.account_id, timeline.c.type, timeline.c.at)
        .where(timeline.c.account_id.in_(account_ids), timeline.c.type.in_(entries))
        .order_by(timeline.c.at, timeline.c.position)
    )
    return {row.account_id: (Entry(row.type), row.at) for row in connection.execute(query)}


def newest_at(connection: Connection) -> datetime | None:
    """The newest time among the last 20 rows; None where there is no row."""
    query = select(timeline.c.at).order_by(timeline.c.position.desc()).limit(20)
    return max(connection.execute(query).scalars(), default=None)


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


def places_since(
    connection: Connection, account_id: str, entries: Collection[Entry], since: datetime, *, limit: int
) -> list[tuple[str, str]]:
    """The address and the browser of each of these entries after ``since``, of the ``limit`` newest.

    An entry whose personal data were erased names no place.
    """
    query = (
        select(timeline.c.ip, timeline.c.details, timeline.c.personal)
        .where(timeline.c.account_id == account_id, timeline.c.type.in_(entries), timeline.c.at > since)
        .order_by(timeline.c.position.desc())
        .limit(limit)
    )
    rows = ((row.ip, {**row.details, **(row.personal or {})}) for row in connection.execute(query))
    return [(ip, str(details.get("browser", ""))) for ip, details in rows if ip is not None]


def latest(
    connection: Connection, account_id: str, entries: Collection[Entry], since: datetime
) -> dict[Entry, datetime]:
    """When each of these entries was last written after ``since``."""
    query = (
        select(timeline.c.type, func.max(timeline.c.at, type_=timeline.c.at.type).label("at"))
        .where(timeline.c.account_id == account_id, timeline.c.type.in_(entries), timeline.c.at > since)
        .group_by(timeline.c.type)
    )
    return {Entry(row.type): row.at for row in connection.execute(query)}


def last_with(connection: Connection, account_id: str, entry: Entry, detail: str) -> datetime | None:
    """When this entry was last written with the boolean ``detail`` true."""
    query = select(func.max(timeline.c.at, type_=timeline.c.at.type)).where(
        timeline.c.account_id == account_id,
        timeline.c.type == entry,
        timeline.c.details[detail].as_boolean().is_(True),
    )
    return connection.execute(query).scalar()


def last_by_others(connection: Connection, account_id: str, entry: Entry, since: datetime) -> datetime | None:
    """When this entry was last written after ``since`` for somebody other than the owner."""
    query = select(func.max(timeline.c.at, type_=timeline.c.at.type)).where(
        timeline.c.account_id == account_id,
        timeline.c.type == entry,
        timeline.c.actor != OWNER,
        timeline.c.at > since,
    )
    return connection.execute(query).scalar()


def details_since(
    connection: Connection, account_id: str, entries: Collection[Entry], since: datetime
) -> list[tuple[datetime, dict[str, Any]]]:
    """The times after ``since`` at which one of these entries was written, with its details, newest first."""
    query = select(timeline.c.at, timeline.c.details).where(
        timeline.c.account_id == account_id, timeline.c.type.in_(entries), timeline.c.at > since
    )
    return [(row.at, row.details) for row in connection.execute(query.order_by(timeline.c.position.desc()))]


def _row(row: Row[Any]) -> TimelineRow:
    details = {**row.details, **(row.personal or {})}
    return TimelineRow(row.position, row.id, row.at, row.type, row.actor, row.ip, details)
