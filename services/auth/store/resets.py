"""SQL of two-factor resets. A transition is one conditional UPDATE, and its row count is the answer."""

import dataclasses
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, case, func, insert, literal, null, or_, select, update
from sqlalchemy.exc import IntegrityError

from services.auth.domain.reset import OPEN_STATUSES, EndedBecause, Path, ReasonKind, Reset, Status
from services.auth.models import cancel_links, resets
from shared.database import PlainRead
from shared.ids import new_token, token_digest
from shared.problems import Refusal


def add(connection: Connection, reset: Reset) -> None:
    """Store a new reset. Raises Refusal reset_already_open."""
    try:
        connection.execute(insert(resets).values(**dataclasses.asdict(reset)))
    except IntegrityError as error:  # the unique index over open resets
        raise Refusal("reset_already_open") from error


def move(
    connection: Connection,
    reset_id: str,
    sources: Collection[Status],
    target: Status,
    **values: Any,  # noqa: ANN401 - column values
) -> bool:
    """Go from one of ``sources`` to ``target``; False when the reset stands elsewhere."""
    statement = update(resets).where(resets.c.id == reset_id, resets.c.status.in_(sources))
    return connection.execute(statement.values(status=target, **values)).rowcount == 1


def approve_first_of_two(connection: Connection, reset_id: str, operator_id: str, now: datetime) -> bool:
    """Claim the first of two approvals; False when the reset needs another kind of approval or stands elsewhere."""
    statement = update(resets).where(
        *_awaits_approval(reset_id, now), resets.c.approvals_needed == 2, resets.c.approved_by.is_(None)
    )
    return connection.execute(statement.values(approved_by=operator_id)).rowcount == 1


def approve_last(
    connection: Connection,
    reset_id: str,
    operator_id: str,
    now: datetime,
    target: Status,
    cool_off_ends_at: datetime | None,
) -> bool:
    """Claim the last approval that is missing, and go to ``target``; False when the reset stands elsewhere.

    The one operator of a pair who approved first cannot approve again.
    """
    only = and_(resets.c.approvals_needed == 1, resets.c.approved_by.is_(None))
    second = and_(resets.c.approvals_needed == 2, resets.c.approved_by != operator_id)
    # The right sides read the row as it was: the second place is filled where the first one is taken.
    statement = (
        update(resets)
        .where(*_awaits_approval(reset_id, now), or_(only, second))
        .values(
            status=target,
            approved_at=now,
            cool_off_ends_at=cool_off_ends_at,
            approved_by=func.coalesce(resets.c.approved_by, operator_id),
            second_approved_by=case((resets.c.approved_by.is_not(None), literal(operator_id)), else_=null()),
        )
    )
    return connection.execute(statement).rowcount == 1


def _awaits_approval(reset_id: str, now: datetime) -> tuple[Any, ...]:
    return (
        resets.c.id == reset_id,
        resets.c.status == Status.AWAITING_APPROVAL,
        or_(resets.c.approval_ends_at.is_(None), resets.c.approval_ends_at > now),
    )


def by_id(connection: Connection, reset_id: str) -> Reset | None:
    """The reset of this id."""
    return _first(connection, select(resets).where(resets.c.id == reset_id))


def open_of(connection: Connection, account_id: str) -> Reset | None:
    """The account's open reset; the index allows one."""
    query = select(resets).where(resets.c.account_id == account_id, resets.c.status.in_(OPEN_STATUSES))
    return _first(connection, query)


def open_of_accounts(connection: Connection, account_ids: Collection[str]) -> dict[str, Status]:
    """Where the open resets of these accounts stand, by account."""
    query = select(resets.c.account_id, resets.c.status)
    found = connection.execute(query.where(resets.c.account_id.in_(account_ids), resets.c.status.in_(OPEN_STATUSES)))
    return {row.account_id: Status(row.status) for row in found}


_IS_OPEN = PlainRead(
    select(resets.c.id).where(
        resets.c.account_id == bindparam("account"), or_(*(resets.c.status == status for status in OPEN_STATUSES))
    )
)


def is_open(connection: Connection, account_id: str) -> bool:
    """Whether the account has an open reset. Every login with a code asks it, so it costs as little as it can."""
    return _IS_OPEN.one_or_none(connection, account=account_id) is not None


def listing(connection: Connection, status: Status | None, *, before: str | None, limit: int) -> list[Reset]:
    """Resets newest first, from behind the one of id ``before``."""
    query = select(resets).order_by(resets.c.requested_at.desc(), resets.c.id.desc()).limit(limit)
    if status is not None:
        query = query.where(resets.c.status == status)
    if before is not None:
        last = select(resets.c.requested_at).where(resets.c.id == before).scalar_subquery()
        query = query.where((resets.c.requested_at < last) | ((resets.c.requested_at == last) & (resets.c.id < before)))
    return [_reset(row) for row in connection.execute(query)]


# --- links that cancel ------------------------------------------------------------------------------------------------


# The token of a texted link begins with this mark. The stored digest covers the mark, so nobody can remove it. Links of
# earlier releases went to both channels and have no mark, so they count as mailed.
_TEXTED = "t."


@dataclasses.dataclass(frozen=True, slots=True)
class CancelLink:
    """What a link cancels: a reset, or a check and the reset that it was used for. ``is_texted``: it came by text."""

    account_id: str
    reset_id: str | None
    check_id: str | None
    is_texted: bool


def add_cancel_link(
    connection: Connection,
    account_id: str,
    now: datetime,
    *,
    reset_id: str | None = None,
    check_id: str | None = None,
    is_texted: bool = False,
) -> str:
    """A new token for a notice; only its digest is stored."""
    token = (_TEXTED if is_texted else "") + new_token()
    connection.execute(
        insert(cancel_links).values(
            token_digest=token_digest(token),
            account_id=account_id,
            reset_id=reset_id,
            check_id=check_id,
            created_at=now,
        )
    )
    return token


def cancel_link(connection: Connection, token: str) -> CancelLink | None:
    """What this token cancels."""
    query = select(cancel_links.c.account_id, cancel_links.c.reset_id, cancel_links.c.check_id)
    row = connection.execute(query.where(cancel_links.c.token_digest == token_digest(token))).one_or_none()
    return None if row is None else CancelLink(*row, is_texted=token.startswith(_TEXTED))


def _first(connection: Connection, query: Select[Any]) -> Reset | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else _reset(row)


_COLUMNS = [resets.c[field.name] for field in dataclasses.fields(Reset)]
_KINDS = {"status": Status, "path": Path, "reason_kind": ReasonKind}


def _reset(row: Row[Any]) -> Reset:
    members = {column.name: getattr(row, column.name) for column in _COLUMNS}
    members |= {name: kind(members[name]) for name, kind in _KINDS.items()}
    because = members["ended_because"]
    return Reset(**{**members, "ended_because": None if because is None else EndedBecause(because)})
