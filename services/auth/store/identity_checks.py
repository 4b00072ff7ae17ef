"""SQL of identity checks. A check is passed, answered and used by one conditional UPDATE each."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from services.auth.domain.identity_checks import CheckStatus
from services.auth.models import accounts, identity_checks
from shared.ids import token_digest

_c = identity_checks.c


@dataclass(frozen=True, slots=True)
class IdentityCheck:
    """A check as stored, with digests of its words and link. It counts for one operator, one account and one reset."""

    id: str
    account_id: str
    operator_id: str
    check: str
    status: CheckStatus
    words_digest: str | None
    link_digest: str | None
    tries: int
    evidence: str | None
    confirmed_by: str | None
    begun_at: datetime
    passed_at: datetime | None
    reset_id: str | None


_COLUMNS = [_c[field.name] for field in dataclasses.fields(IdentityCheck)]


def add(connection: Connection, check: IdentityCheck) -> None:
    """Store a new check. It ends an earlier one of its kind, operator and account that was not used."""
    earlier = update(identity_checks).where(
        _c.account_id == check.account_id,
        _c.operator_id == check.operator_id,
        _c.check == check.check,
        _c.reset_id.is_(None),
        _c.status.in_([CheckStatus.PENDING, CheckStatus.PASSED]),
    )
    connection.execute(earlier.values(status=CheckStatus.ENDED))
    connection.execute(insert(identity_checks).values(**dataclasses.asdict(check)))


def count_try(connection: Connection, check_id: str, since: datetime, limit: int) -> bool:
    """Count one try at the words, before they are compared; False when the check is not pending or has none left."""
    statement = update(identity_checks).where(
        _c.id == check_id, _c.status == CheckStatus.PENDING, _c.begun_at > since, _c.tries < limit
    )
    return connection.execute(statement.values(tries=_c.tries + 1)).rowcount == 1


def settle(
    connection: Connection,
    check_id: str,
    status: CheckStatus,
    since: datetime,
    now: datetime,
    confirmed_by: str | None = None,
) -> bool:
    """Pass or refuse a pending check; False when it is no longer pending or too old."""
    statement = (
        update(identity_checks)
        .where(_c.id == check_id, _c.status == CheckStatus.PENDING, _c.begun_at > since)
        .values(status=status, passed_at=now if status is CheckStatus.PASSED else None, confirmed_by=confirmed_by)
    )
    return connection.execute(statement).rowcount == 1


def use(connection: Connection, check_ids: Collection[str], reset_id: str) -> bool:
    """Claim these standing checks for one reset; False when one of them was used or ended meanwhile."""
    statement = update(identity_checks).where(
        _c.id.in_(check_ids), _c.status == CheckStatus.PASSED, _c.reset_id.is_(None)
    )
    return connection.execute(statement.values(reset_id=reset_id)).rowcount == len(check_ids)


def end_all(connection: Connection, account_id: str, begun_until: datetime | None = None) -> int:
    """End what is pending or stands for this account, for every operator; how many. ``begun_until``: no newer ones."""
    statement = update(identity_checks).where(
        _c.account_id == account_id,
        _c.reset_id.is_(None),
        _c.status.in_([CheckStatus.PENDING, CheckStatus.PASSED]),
    )
    if begun_until is not None:
        statement = statement.where(_c.begun_at <= begun_until)
    return connection.execute(statement.values(status=CheckStatus.ENDED)).rowcount


def standing(connection: Connection, account_id: str, operator_id: str, since: datetime) -> list[IdentityCheck]:
    """The checks that this operator has passed for this account since then, and that no reset has used."""
    query = _select().where(
        _c.account_id == account_id,
        _c.operator_id == operator_id,
        _c.status == CheckStatus.PASSED,
        _c.passed_at > since,
        _c.reset_id.is_(None),
    )
    return [_check(row) for row in connection.execute(query.order_by(_c.passed_at))]


def current(connection: Connection, account_id: str, operator_id: str, since: datetime) -> list[IdentityCheck]:
    """The checks of this operator and account that were begun since then, newest first."""
    query = _select().where(_c.account_id == account_id, _c.operator_id == operator_id, _c.begun_at > since)
    return [_check(row) for row in connection.execute(query.order_by(_c.begun_at.desc(), _c.id))]


def pending_of(
    connection: Connection, account_ids: Collection[str], check: str, since: datetime
) -> list[IdentityCheck]:
    """The pending checks of this kind for these accounts, newest first."""
    query = _select().where(
        _c.account_id.in_(account_ids), _c.check == check, _c.status == CheckStatus.PENDING, _c.begun_at > since
    )
    return [_check(row) for row in connection.execute(query.order_by(_c.begun_at.desc(), _c.id))]


def is_pending_in_team(connection: Connection, team_id: str, but: str, check: str, since: datetime) -> bool:
    """Whether a check of this kind is pending for a member of the team other than ``but``."""
    query = (
        select(_c.id)
        .join(accounts, accounts.c.id == _c.account_id)
        .where(
            accounts.c.team_id == team_id,
            _c.account_id != but,
            _c.check == check,
            _c.status == CheckStatus.PENDING,
            _c.begun_at > since,
        )
    )
    return connection.execute(query.limit(1)).first() is not None


def by_id(connection: Connection, check_id: str) -> IdentityCheck | None:
    """The check of this id."""
    return _first(connection, _select().where(_c.id == check_id))


def by_link(connection: Connection, token: str) -> IdentityCheck | None:
    """The check that this link confirms."""
    return _first(connection, _select().where(_c.link_digest == token_digest(token)))


def _select() -> Select[Any]:
    return select(*_COLUMNS)


def _first(connection: Connection, query: Select[Any]) -> IdentityCheck | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else _check(row)


def _check(row: Row[Any]) -> IdentityCheck:
    members = row._asdict()
    return IdentityCheck(**{**members, "status": CheckStatus(members["status"])})
