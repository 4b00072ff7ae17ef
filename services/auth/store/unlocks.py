"""SQL of unlocks that wait for a second operator. The claim is one UPDATE, and its row count is the answer."""

import dataclasses
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from services.auth.domain.account import Role
from services.auth.domain.unlock import Unlock
from services.auth.models import accounts, unlocks


def add(connection: Connection, unlock: Unlock) -> None:
    """Store a request."""
    connection.execute(insert(unlocks).values(**dataclasses.asdict(unlock)))


def by_id(connection: Connection, unlock_id: str) -> Unlock | None:
    """The request of this id."""
    row = connection.execute(select(unlocks).where(unlocks.c.id == unlock_id)).one_or_none()
    return None if row is None else _unlock(row)


def open_of(connection: Connection, account_id: str, since: datetime) -> Unlock | None:
    """The account's newest request that waits, from after ``since``; an operator made it, and still is one."""
    query = (
        select(unlocks)
        .join(accounts, accounts.c.id == unlocks.c.requested_by)
        .where(*_waiting([account_id], since), accounts.c.role == Role.SUPPORT)
    )
    row = connection.execute(query.order_by(unlocks.c.requested_at.desc(), unlocks.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _unlock(row)


def claim(connection: Connection, unlock_id: str, operator_id: str, now: datetime, since: datetime) -> bool:
    """Approve a request that another operator made after ``since``; False when it does not wait any more."""
    statement = update(unlocks).where(
        unlocks.c.id == unlock_id,
        unlocks.c.approved_at.is_(None),
        unlocks.c.requested_at > since,
        unlocks.c.requested_by != operator_id,
    )
    return connection.execute(statement.values(approved_by=operator_id, approved_at=now)).rowcount == 1


def release(connection: Connection, unlock_id: str, operator_id: str) -> None:
    """Take this operator's approval back, because the lock could not be lifted."""
    statement = update(unlocks).where(unlocks.c.id == unlock_id, unlocks.c.approved_by == operator_id)
    connection.execute(statement.values(approved_by=None, approved_at=None))


def waiting(connection: Connection, account_ids: Collection[str], since: datetime) -> list[str]:
    """Those of these accounts that have a request which waits, from after ``since``."""
    query = select(unlocks.c.account_id).distinct().where(*_waiting(account_ids, since))
    return list(connection.execute(query).scalars())


def void(connection: Connection, account_ids: Collection[str], now: datetime, since: datetime) -> None:
    """Let nobody approve what waits for these accounts: it counts as decided, with no operator who approved it."""
    connection.execute(update(unlocks).where(*_waiting(account_ids, since)).values(approved_at=now))


def _waiting(account_ids: Collection[str], since: datetime) -> tuple[ColumnElement[bool], ...]:
    return unlocks.c.account_id.in_(account_ids), unlocks.c.approved_at.is_(None), unlocks.c.requested_at > since


def _unlock(row: Row[Any]) -> Unlock:
    return Unlock(**{field.name: getattr(row, field.name) for field in dataclasses.fields(Unlock)})
