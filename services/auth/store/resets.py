"""SQL of two-factor resets. A transition is one conditional UPDATE, and its row count is the answer."""

import dataclasses
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update
from sqlalchemy.exc import IntegrityError

from services.auth.domain.reset import OPEN_STATUSES, Reset, Status
from services.auth.domain.reset_policy import Path
from services.auth.models import resets
from shared.ids import token_digest
from shared.problems import Refusal


def add(connection: Connection, reset: Reset, cancel_token: str) -> None:
    """Store a new reset; of the token only its digest. Raises Refusal reset_already_open."""
    values = dataclasses.asdict(reset)
    try:
        connection.execute(insert(resets).values(**values, cancel_token_digest=token_digest(cancel_token)))
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


def by_id(connection: Connection, reset_id: str) -> Reset | None:
    """The reset of this id."""
    return _first(connection, select(resets).where(resets.c.id == reset_id))


def by_cancel_token(connection: Connection, token: str) -> Reset | None:
    """The reset that this token may cancel."""
    query = select(resets).where(resets.c.cancel_token_digest == token_digest(token))
    return _first(connection, query)


def open_of(connection: Connection, account_id: str) -> Reset | None:
    """The account's open reset; the index allows one."""
    query = select(resets).where(resets.c.account_id == account_id, resets.c.status.in_(OPEN_STATUSES))
    return _first(connection, query)


def listing(connection: Connection, status: Status | None, *, before: str | None, limit: int) -> list[Reset]:
    """Resets newest first, from behind the one of id ``before``."""
    query = select(resets).order_by(resets.c.requested_at.desc(), resets.c.id.desc()).limit(limit)
    if status is not None:
        query = query.where(resets.c.status == status)
    if before is not None:
        last = select(resets.c.requested_at).where(resets.c.id == before).scalar_subquery()
        query = query.where((resets.c.requested_at < last) | ((resets.c.requested_at == last) & (resets.c.id < before)))
    return [_reset(row) for row in connection.execute(query)]


def _first(connection: Connection, query: Select[Any]) -> Reset | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else _reset(row)


_COLUMNS = [resets.c[field.name] for field in dataclasses.fields(Reset)]


def _reset(row: Row[Any]) -> Reset:
    members = {column.name: getattr(row, column.name) for column in _COLUMNS}
    return Reset(**{**members, "status": Status(members["status"]), "path": Path(members["path"])})
