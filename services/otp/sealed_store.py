"""Stored secrets by the key that holds them, for key rotation. Every read goes over the index of keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, or_, select, update

from services.otp.domain.sealed import Sealed
from services.otp.models import ACTIVE, PENDING, authenticators

# Of one statement, which has a second and a half on PostgreSQL.
COUNTED_AT_ONCE = 200_000

_a = authenticators.c
_sealed = select(_a.id, _a.account_id, _a.key_id, _a.ciphertext)


@dataclass(frozen=True, slots=True)
class SealedRow:
    """A stored secret and whose it is."""

    id: str
    account_id: str
    sealed: Sealed


def key_ids(connection: Connection) -> Iterator[str]:
    """Every key that holds a secret; one look into the index for each, however many secrets there are."""
    last: str | None = ""
    while (last := connection.execute(select(func.min(_a.key_id)).where(_a.key_id > last)).scalar()) is not None:
        yield last


def count_under(connection: Connection, key_id: str) -> int:
    """How many secrets this key holds, abandoned enrollments among them."""
    count, last = 0, ""
    while True:
        page = select(_a.id).where(_a.key_id == key_id, _a.id > last).order_by(_a.id).limit(COUNTED_AT_ONCE).subquery()
        found, last = connection.execute(select(func.count(), func.max(page.c.id)).select_from(page)).one()
        count += int(found)
        if found < COUNTED_AT_ONCE:
            return count


def list_live(connection: Connection, key_id: str, now: datetime, *, limit: int) -> list[SealedRow]:
    """Some of the secrets under this key that a code can still be compared with."""
    live = or_(_a.status == ACTIVE, and_(_a.status == PENDING, _a.expires_at > now))
    return _rows(connection, _sealed.where(_a.key_id == key_id, live).limit(limit))


def active_under(connection: Connection, key_id: str) -> list[str]:
    """The accounts whose active secret is under this key."""
    query = select(_a.account_id).distinct().where(_a.key_id == key_id, _a.status == ACTIVE).order_by(_a.account_id)
    return list(connection.execute(query).scalars())


def list_under(connection: Connection, key_id: str, *, after: str, limit: int) -> list[SealedRow]:
    """Secrets that this key holds, in the order of their ids, after this one."""
    return _rows(connection, _sealed.where(_a.key_id == key_id, _a.id > after).order_by(_a.id).limit(limit))


def replace_sealed(connection: Connection, row: SealedRow, sealed: Sealed) -> bool:
    """Put the new ciphertext where the old one still stands; False when it was used, replaced or revoked meanwhile."""
    statement = update(authenticators).where(_a.id == row.id, _a.ciphertext == row.sealed.ciphertext)
    return connection.execute(statement.values(key_id=sealed.key_id, ciphertext=sealed.ciphertext)).rowcount == 1


def forget_abandoned(connection: Connection, key_id: str, now: datetime) -> int:
    """Delete the enrollments under this key that nobody can confirm any more; how many."""
    abandoned = (_a.key_id == key_id, _a.status == PENDING, _a.expires_at <= now)
    return connection.execute(delete(authenticators).where(*abandoned)).rowcount


def _rows(connection: Connection, query: Select[Any]) -> list[SealedRow]:
    return [SealedRow(row.id, row.account_id, Sealed(row.key_id, row.ciphertext)) for row in connection.execute(query)]
