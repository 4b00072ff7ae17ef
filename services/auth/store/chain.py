"""SQL of the audit chain: seals are put on, personal parts erased, the oldest rows pruned. All else is reading."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, null, or_, select, update

from services.auth.domain.chain import Anchor, AnchorName, Erasure, Record, Restored, Seal, Sealed
from services.auth.models import UNSEALED, timeline, timeline_anchors, timeline_erasures, timeline_restores
from shared.dialects import insert_for

_CONTENT = (
    timeline.c.position,
    timeline.c.id,
    timeline.c.account_id,
    timeline.c.at,
    timeline.c.type,
    timeline.c.actor,
    timeline.c.details,
    timeline.c.ip,
    timeline.c.personal,
)
_SEAL = (
    timeline.c.sequence,
    timeline.c.sealed_at,
    timeline.c.salt,
    timeline.c.commitment,
    timeline.c.key_id,
    timeline.c.mac,
)
_PUT_SEAL = (
    update(timeline)
    .where(timeline.c.position == bindparam("at_position"), UNSEALED)
    .values({column.name: bindparam(f"new_{column.name}") for column in _SEAL})
)


def unsealed(connection: Connection, limit: int) -> list[Record]:
    """The oldest rows without a seal."""
    rows = connection.execute(select(*_CONTENT).where(UNSEALED).order_by(timeline.c.position).limit(limit))
    return [Record(*row) for row in rows]


def count_unsealed(connection: Connection) -> int:
    """How many rows wait for their seal."""
    return connection.execute(select(func.count()).select_from(timeline).where(UNSEALED)).scalar_one()


def put_seals(connection: Connection, seals: Iterable[tuple[Record, Seal]]) -> None:
    """Seal rows that have none. Whoever calls it has moved the head in the same transaction."""
    rows = [
        {"at_position": record.position, **{f"new_{name}": value for name, value in asdict(seal).items()}}
        for record, seal in seals
    ]
    connection.execute(_PUT_SEAL, rows)


def sealed_behind(connection: Connection, last: Sealed | int, limit: int) -> list[Sealed]:
    """The next rows in the order of the chain. ``last`` is the last one seen, or a number of the chain."""
    number, position = timeline.c.sequence, timeline.c.position
    if isinstance(last, int):
        behind = number > last
    else:  # where somebody has taken the index away, two rows may have one number
        behind = or_(number > last.seal.sequence, and_(number == last.seal.sequence, position > last.record.position))
    rows = connection.execute(select(*_CONTENT, *_SEAL).where(behind).order_by(number, position).limit(limit))
    return [Sealed(Record(*row[: len(_CONTENT)]), Seal(*row[len(_CONTENT) :])) for row in rows]


def pages(connection: Connection, last: Sealed | int, size: int) -> Iterator[list[Sealed]]:
    """All rows of the chain behind ``last``, page by page."""
    while page := sealed_behind(connection, last, size):
        yield page
        last = page[-1]


def has_seals(connection: Connection) -> bool:
    """Whether any row is sealed."""
    return connection.execute(select(timeline.c.position).where(~UNSEALED).limit(1)).first() is not None


def anchor(connection: Connection, name: AnchorName) -> Anchor | None:
    """One end of the chain; None before the first seal, or before the first pruning."""
    row = connection.execute(select(timeline_anchors).where(timeline_anchors.c.name == name)).first()
    return None if row is None else Anchor(AnchorName(row[0]), *row[1:])


def move_anchor(connection: Connection, before: Anchor | None, after: Anchor) -> bool:
    """Move an end of the chain, unless somebody else has moved it since ``before`` was read."""
    values = {**asdict(after), "name": str(after.name)}
    if before is None:
        made = insert_for(connection, timeline_anchors).values(values).on_conflict_do_nothing()
        return connection.execute(made.returning(timeline_anchors.c.name)).first() is not None
    found = and_(timeline_anchors.c.name == before.name, timeline_anchors.c.sequence == before.sequence)
    return connection.execute(update(timeline_anchors).where(found).values(values)).rowcount == 1


def delete_through(connection: Connection, checkpoint: Anchor) -> int:
    """Delete the rows that the checkpoint covers, and the erasures that concern no other row; the number of rows."""
    connection.execute(delete(timeline_erasures).where(timeline_erasures.c.through <= checkpoint.sequence))
    return connection.execute(delete(timeline).where(timeline.c.sequence <= checkpoint.sequence)).rowcount


def erasures(connection: Connection) -> list[Erasure]:
    """Every erasure that is recorded."""
    return [Erasure(*row) for row in connection.execute(select(timeline_erasures))]


def restores(connection: Connection) -> list[Restored]:
    """Every restore that is recorded, oldest first."""
    query = select(timeline_restores).order_by(timeline_restores.c.resumes_at)
    return [Restored(*row) for row in connection.execute(query)]


def record_restore(connection: Connection, restored: Restored) -> None:
    """Record a restore. The caller moves the head in the same transaction."""
    connection.execute(insert(timeline_restores).values(asdict(restored)))


def newest_sealed_by(connection: Connection, moment: datetime) -> int:
    """The number of the last row that was sealed by then; 0 where there is none."""
    query = select(func.max(timeline.c.sequence)).where(timeline.c.sealed_at <= moment)
    return connection.execute(query).scalar() or 0


def count_sealed(connection: Connection) -> int:
    """The number of rows that have a seal."""
    return connection.execute(select(func.count()).select_from(timeline).where(~UNSEALED)).scalar_one()


def record_erasure(connection: Connection, erasure: Erasure) -> None:
    """Record it in place of an earlier one of the same person, which it covers."""
    connection.execute(delete(timeline_erasures).where(timeline_erasures.c.account_id == erasure.account_id))
    connection.execute(insert(timeline_erasures).values(asdict(erasure)))


@dataclass(frozen=True, slots=True)
class PersonalRow:
    """What an erasure asks of a row: whose it is, and whether a personal part that was sealed is still there."""

    position: int
    account_id: str | None
    actor: str
    sequence: int | None
    salt: str | None


def personal_rows(connection: Connection, position: int, limit: int) -> list[PersonalRow]:
    """The next rows behind ``position``."""
    columns = timeline.c.position, timeline.c.account_id, timeline.c.actor, timeline.c.sequence, timeline.c.salt
    query = select(*columns).where(timeline.c.position > position).order_by(timeline.c.position).limit(limit)
    return [PersonalRow(*row) for row in connection.execute(query)]


def erase(connection: Connection, positions: Sequence[int]) -> None:
    """Erase the personal part and the salt of these rows."""
    connection.execute(
        update(timeline).where(timeline.c.position.in_(positions)).values(ip=None, personal=null(), salt=None)
    )
