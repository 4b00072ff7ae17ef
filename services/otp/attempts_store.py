"""Attempts, and the counts of failures in a row that survive a lost Redis, in SQL."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Insert,
    Integer,
    Row,
    and_,
    bindparam,
    case,
    insert,
    or_,
    select,
    update,
)

from services.otp.domain.failure_row import FailureRow
from services.otp.limits import FAILURES_IN_A_ROW, HARD_STOP
from services.otp.models import attempts, verification_states
from shared.dialects import insert_for, insert_of
from shared.messages import EVERYWHERE, NEW_BROWSERS

_t, _s = attempts.c, verification_states.c


@dataclass(frozen=True, slots=True)
class Tally:
    """A row of failures in SQL.

    ``told_at`` says when the owner was told that the row is spent; null until then. What failed before ``cleared_at``
    no longer counts. ``scope`` is where codes are refused then.
    """

    row: FailureRow
    failures: Column[int]
    cleared_at: Column[datetime]
    told_at: Column[datetime]
    scope: str

    @property
    def stop(self) -> int:
        """The failures at which the row is spent."""
        return FAILURES_IN_A_ROW[self.row].at_most

    @property
    def not_cleared_since(self) -> ColumnElement[bool]:
        """Whether it was last cleared before the parameter ``at``."""
        return or_(self.cleared_at.is_(None), self.cleared_at <= bindparam("at", type_=self.cleared_at.type))

    @property
    def ended(self) -> Mapping[str, Any]:
        """Its columns after its end, but for ``cleared_at``."""
        return {self.failures.name: 0, self.told_at.name: None}


TALLIES: Mapping[FailureRow, Tally] = {
    FailureRow.STRANGERS: Tally(
        FailureRow.STRANGERS, _s.strangers_failures, _s.strangers_cleared_at, _s.locked_at, NEW_BROWSERS
    ),
    FailureRow.ALL: Tally(FailureRow.ALL, _s.consecutive_failures, _s.cleared_at, _s.locked_everywhere_at, EVERYWHERE),
}
_STRANGERS, _ALL = TALLIES[FailureRow.STRANGERS], TALLIES[FailureRow.ALL]


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt as it is kept. ``challenge_id``: the login challenge that the code answered."""

    account_id: str
    at: datetime
    purpose: str
    factor: str | None
    outcome: str
    reason: str | None
    clock_skew_seconds: int | None
    device_known: bool
    throttled_until: datetime | None = None
    challenge_id: str | None = None


_INSERT = insert(attempts)


def insert_attempts(connection: Connection, rows: Sequence[AttemptRow]) -> None:
    """Keep them, in this order."""
    if rows:
        # Not by asdict, whose copies take as long as all the rest.
        connection.execute(_INSERT, [{name: getattr(row, name) for name in row.__slots__} for row in rows])


def read_attempts(connection: Connection, account_id: str, *, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """At most ``limit`` attempts older than the position ``before``, newest first."""
    query = select(attempts).where(_t.account_id == account_id).order_by(_t.position.desc()).limit(limit)
    return connection.execute(query if before is None else query.where(_t.position < before)).all()


def add_failures(connection: Connection, failures: Sequence[tuple[str, Mapping[FailureRow, int], datetime]]) -> None:
    """Count on for each account and row, unless the row was cleared after the failures came."""
    if failures:
        connection.execute(
            _add_failures(connection.dialect.name),
            [
                {"account": account, "at": at, **{f"new_{row}": counts.get(row, 0) for row in TALLIES}}
                for account, counts, at in failures
            ],
        )


# Each batch runs it, and building it takes longer than running it.
@functools.cache
def _add_failures(dialect: str) -> Insert:
    statement = insert_of(dialect, verification_states).values(
        {
            "account_id": bindparam("account"),
            **{tally.failures.name: bindparam(f"new_{row}", type_=Integer) for row, tally in TALLIES.items()},
        }
    )
    added = {
        tally.failures.name: case(
            (tally.not_cleared_since, tally.failures + statement.excluded[tally.failures.name]), else_=tally.failures
        )
        for tally in TALLIES.values()
    }
    return statement.on_conflict_do_update(index_elements=[_s.account_id], set_=added)


def raise_failures(
    connection: Connection, counted: Sequence[tuple[str, int, datetime]], row: FailureRow = FailureRow.ALL
) -> None:
    """Redis counted to a stop, so failures were lost on the way here (a killed process): catch up with it."""
    if not counted:
        return
    tally = TALLIES[row]
    none_yet = {one.failures.name: 0 for one in TALLIES.values()}
    statement = insert_for(connection, verification_states).values(
        {
            "account_id": bindparam("account"),
            **none_yet,
            tally.failures.name: bindparam("new", type_=Integer),
        }
    )
    new = statement.excluded[tally.failures.name]
    upsert = statement.on_conflict_do_update(
        index_elements=[_s.account_id],
        set_={tally.failures.name: new},
        where=and_(tally.failures < new, tally.not_cleared_since),
    )
    connection.execute(upsert, [{"account": account, "new": n, "at": at} for account, n, at in counted])


@dataclass(frozen=True, slots=True)
class Standing:
    """How a row of an account stands. ``untold``: it is spent, and the owner has yet to be told."""

    failures: int
    untold: bool


_COLUMNS = [column for tally in TALLIES.values() for column in (tally.failures, tally.told_at)]
_OF_ACCOUNTS = _s.account_id.in_(bindparam("accounts", expanding=True))
_READ = select(_s.account_id, *_COLUMNS).where(_OF_ACCOUNTS)


def read_all_failures(connection: Connection, accounts: Sequence[str]) -> Mapping[str, Mapping[FailureRow, Standing]]:
    """How the rows of these accounts stand."""
    standing = {}
    for account_id, *values in connection.execute(_READ, {"accounts": accounts}):
        pairs = zip(TALLIES.items(), values[::2], values[1::2], strict=True)
        standing[account_id] = {
            row: Standing(failures, untold=told_at is None and failures >= tally.stop)
            for (row, tally), failures, told_at in pairs
        }
    return standing


def lock_once(connection: Connection, tally: Tally, account_id: str, now: datetime) -> bool:
    """Note that the account's row is spent; True for the one who did."""
    statement = update(verification_states).where(
        _s.account_id == account_id, tally.failures >= tally.stop, tally.told_at.is_(None)
    )
    return connection.execute(statement.values({tally.told_at: now})).rowcount == 1


_FORGIVE = (
    update(verification_states)
    .where(_OF_ACCOUNTS, or_(_s.consecutive_failures > 0, _s.failures_lifted > 0))
    .values({**_ALL.ended, "failures_lifted": 0})
)


def forgive(connection: Connection, accounts: Sequence[str]) -> None:
    """A success ends the row of all failures. That of strangers stays."""
    if accounts:
        connection.execute(_FORGIVE, {"accounts": accounts})


def clear(connection: Connection, account_id: str, now: datetime) -> None:
    """End both rows for a reset; earlier failures that are still on their way here do not count."""
    _put(connection, account_id, {**_both_ended(now), "failures_lifted": 0})


def end_strangers(connection: Connection, account_id: str, now: datetime) -> None:
    """End the row of strangers, as ``clear`` does both."""
    _put(connection, account_id, _ended_at(_STRANGERS, now))


def _both_ended(now: datetime) -> Mapping[str, Any]:
    return {name: value for tally in TALLIES.values() for name, value in _ended_at(tally, now).items()}


def _ended_at(tally: Tally, now: datetime) -> Mapping[str, Any]:
    return {**tally.ended, tally.cleared_at.name: now}


def _put(connection: Connection, account_id: str, values: Mapping[str, Any]) -> None:
    new = {"consecutive_failures": 0, **values}
    statement = insert_for(connection, verification_states).values(account_id=account_id, **new)
    connection.execute(statement.on_conflict_do_update(index_elements=[_s.account_id], set_=dict(values)))


def lift(connection: Connection, account_id: str, now: datetime) -> bool:
    """Support lifts the lock, as ``clear`` does; False when its unlocks would lift a hundred failures in a row.

    Each unlock adds the failures that it lifts to those that were lifted since the last success.
    """
    lifted = _both_ended(now)
    statement = insert_for(connection, verification_states).values(account_id=account_id, **lifted)
    together = _s.failures_lifted + _s.consecutive_failures
    upsert = statement.on_conflict_do_update(
        index_elements=[_s.account_id], set_={**lifted, "failures_lifted": together}, where=together < HARD_STOP
    )
    # Told by its own row: an INSERT's count of rows is not known on PostgreSQL.
    return connection.execute(upsert.returning(_s.account_id)).first() is not None


@dataclass(frozen=True, slots=True)
class FailuresRead:
    """The rows of an account, and the failures that unlocks have lifted since the last success."""

    in_a_row: Mapping[FailureRow, int]
    lifted: int


def read_failures(connection: Connection, account_id: str) -> FailuresRead:
    """The counts as SQL knows them."""
    query = select(*(tally.failures for tally in TALLIES.values()), _s.failures_lifted)
    row = connection.execute(query.where(_s.account_id == account_id)).one_or_none()
    *failures, lifted = row if row is not None else (*(0 for _ in TALLIES), 0)
    return FailuresRead(dict(zip(TALLIES, failures, strict=True)), lifted)
