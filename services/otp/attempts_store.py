"""Attempts, and the count of consecutive failures that survives a lost Redis, in SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Integer, Row, and_, bindparam, insert, or_, select, update

from services.otp.limits import HARD_STOP, STOP_FOR_STRANGERS_DIGITS
from services.otp.models import attempts, verification_states
from shared.dialects import insert_for

_t, _s = attempts.c, verification_states.c
_NO_FAILURES: Mapping[str, Any] = {"consecutive_failures": 0, "locked_at": None, "locked_everywhere_at": None}
_NOT_CLEARED_SINCE = or_(_s.cleared_at.is_(None), _s.cleared_at <= bindparam("at", type_=_s.cleared_at.type))


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt as it is kept."""

    account_id: str
    at: datetime
    purpose: str
    factor: str | None
    outcome: str
    reason: str | None
    clock_skew_seconds: int | None
    device_known: bool
    throttled_until: datetime | None = None


def insert_attempts(connection: Connection, rows: Sequence[AttemptRow]) -> None:
    """Keep them, in this order."""
    if not rows:
        return
    connection.execute(insert(attempts), [asdict(row) for row in rows])


def read_attempts(connection: Connection, account_id: str, *, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """At most ``limit`` attempts older than the position ``before``, newest first."""
    query = select(attempts).where(_t.account_id == account_id).order_by(_t.position.desc()).limit(limit)
    return connection.execute(query if before is None else query.where(_t.position < before)).all()


def add_failures(connection: Connection, failures: Sequence[tuple[str, int, datetime]]) -> None:
    """Count on for each account, unless its count was cleared after the failures came."""
    if not failures:
        return
    statement = insert_for(connection, verification_states).values(
        account_id=bindparam("account"), consecutive_failures=bindparam("failures", type_=Integer)
    )
    upsert = statement.on_conflict_do_update(
        index_elements=[_s.account_id],
        set_={"consecutive_failures": _s.consecutive_failures + statement.excluded.consecutive_failures},
        where=_NOT_CLEARED_SINCE,
    )
    connection.execute(upsert, [{"account": account, "failures": n, "at": at} for account, n, at in failures])


def raise_failures(connection: Connection, counted: Sequence[tuple[str, int, datetime]]) -> None:
    """Redis counted to a stop, so failures were lost on the way here (a killed process): catch up with it."""
    if not counted:
        return
    statement = insert_for(connection, verification_states).values(
        account_id=bindparam("account"), consecutive_failures=bindparam("failures", type_=Integer)
    )
    upsert = statement.on_conflict_do_update(
        index_elements=[_s.account_id],
        set_={"consecutive_failures": statement.excluded.consecutive_failures},
        where=and_(_s.consecutive_failures < statement.excluded.consecutive_failures, _NOT_CLEARED_SINCE),
    )
    connection.execute(upsert, [{"account": account, "failures": n, "at": at} for account, n, at in counted])


@dataclass(frozen=True, slots=True)
class Lock:
    """A stop that the owner is told of: the failures in a row, and the column that says when it was told."""

    failures: int
    everywhere: bool

    @property
    def told_at(self) -> Column[datetime]:
        """Null until then."""
        return _s.locked_everywhere_at if self.everywhere else _s.locked_at


LOCKS = (Lock(STOP_FOR_STRANGERS_DIGITS, everywhere=False), Lock(HARD_STOP, everywhere=True))


def read_all_failures(connection: Connection, accounts: Sequence[str]) -> Mapping[str, tuple[int, frozenset[Lock]]]:
    """The counts of these accounts, and the locks that each has yet to be told of."""
    query = select(_s.account_id, _s.consecutive_failures, *(lock.told_at for lock in LOCKS))
    standing = {}
    for account_id, failures, *told in connection.execute(query.where(_s.account_id.in_(accounts))):
        untold = (lock for lock, at in zip(LOCKS, told, strict=True) if at is None and failures >= lock.failures)
        standing[account_id] = failures, frozenset(untold)
    return standing


def lock_once(connection: Connection, lock: Lock, account_id: str, now: datetime) -> bool:
    """Note that the account stands at this stop; True for the one who did."""
    statement = update(verification_states).where(
        _s.account_id == account_id, _s.consecutive_failures >= lock.failures, lock.told_at.is_(None)
    )
    return connection.execute(statement.values({lock.told_at: now})).rowcount == 1


def forgive(connection: Connection, accounts: Sequence[str]) -> None:
    """A success ends the row of failures."""
    if accounts:
        connection.execute(
            update(verification_states)
            .where(_s.account_id.in_(accounts), or_(_s.consecutive_failures > 0, _s.failures_lifted > 0))
            .values({**_NO_FAILURES, "failures_lifted": 0})
        )


def clear(connection: Connection, account_id: str, now: datetime) -> None:
    """End the row of failures for a reset; earlier failures that are still on their way here do not count."""
    cleared: Mapping[str, Any] = {**_NO_FAILURES, "failures_lifted": 0, "cleared_at": now}
    statement = insert_for(connection, verification_states).values(account_id=account_id, **cleared)
    connection.execute(statement.on_conflict_do_update(index_elements=[_s.account_id], set_=cleared))


def lift(connection: Connection, account_id: str, now: datetime) -> bool:
    """Support lifts the lock, as ``clear`` does; False when its unlocks would lift a hundred failures in a row.

    Each unlock adds the failures that it lifts to those that were lifted since the last success.
    """
    lifted: Mapping[str, Any] = {**_NO_FAILURES, "cleared_at": now}
    statement = insert_for(connection, verification_states).values(account_id=account_id, **lifted)
    together = _s.failures_lifted + _s.consecutive_failures
    upsert = statement.on_conflict_do_update(
        index_elements=[_s.account_id], set_={**lifted, "failures_lifted": together}, where=together < HARD_STOP
    )
    # Told by its own row: an INSERT's count of rows is not known on PostgreSQL.
    return connection.execute(upsert.returning(_s.account_id)).first() is not None


def read_failures_and_lifted(connection: Connection, account_id: str) -> tuple[int, int]:
    """The failures in a row as SQL knows them, and those that unlocks have lifted since the last success."""
    query = select(_s.consecutive_failures, _s.failures_lifted).where(_s.account_id == account_id)
    row = connection.execute(query).one_or_none()
    return (0, 0) if row is None else (row.consecutive_failures, row.failures_lifted)


def read_failures(connection: Connection, account_id: str) -> int:
    """The count as SQL knows it."""
    return connection.execute(select(_s.consecutive_failures).where(_s.account_id == account_id)).scalar() or 0
