"""SQL of equal notices: how many an account had within a few minutes, and where the one for all of them waits."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, delete, null, update

from services.auth.models import notice_series as table
from shared.dialects import insert_for

# A row of a series that is over is of no use; the next series of the account deletes it.
KEPT_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Series:
    """``times``: the notices of the series, this one included. It takes notices until ``ends_at``.

    ``position``: where the notice for all of them waits in the outbox; None while there is none.
    """

    times: int
    ends_at: datetime
    position: int | None


def count(connection: Connection, account_id: str, fingerprint: str, now: datetime, lasts: timedelta) -> Series:
    """Count a notice, in one statement whose reply is the answer. A series that is over begins anew."""
    new = insert_for(connection, table).values(
        account_id=account_id, fingerprint=fingerprint, times=1, ends_at=now + lasts, position=None
    )
    is_over = table.c.ends_at <= now
    counted = new.on_conflict_do_update(
        index_elements=[table.c.account_id, table.c.fingerprint],
        set_={
            "times": case((is_over, 1), else_=table.c.times + 1),
            "ends_at": case((is_over, new.excluded.ends_at), else_=table.c.ends_at),
            "position": case((is_over, null()), else_=table.c.position),
        },
    ).returning(table.c.times, table.c.ends_at, table.c.position)
    series = Series(*connection.execute(counted).one())
    if series.times == 1:
        old = table.c.account_id == account_id, table.c.ends_at < now - KEPT_FOR
        connection.execute(delete(table).where(*old))
    return series


def set_position(connection: Connection, account_id: str, fingerprint: str, position: int) -> None:
    """Note where the notice for all of them waits."""
    row = table.c.account_id == account_id, table.c.fingerprint == fingerprint
    connection.execute(update(table).where(*row).values(position=position))
