"""The transactional outbox: a message is recorded with the change that it reports, and published after the commit."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    or_,
    select,
    update,
)

from shared.database import UtcDateTime
from shared.dialects import insert_for, partial_index
from shared.messages import ROUTES, Message, UnreadableMessage, encode_text

KEEP_FOR = timedelta(days=14)  # longer than any broker redelivers, so a repeated message is still known
SET_ASIDE = datetime(9999, 1, 1, tzinfo=UTC)  # the ``not_before`` of a message that cannot be published


@dataclass(frozen=True, slots=True)
class OutboxTables:
    """The two tables that a service with events has in its own database."""

    outbox: Table
    handled: Table


def outbox_tables(metadata: MetaData) -> OutboxTables:
    """Declare them on a service's metadata."""
    outbox = Table(
        "outbox",
        metadata,
        Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("queue", String(64), nullable=False),
        Column("document", Text, nullable=False),
        Column("recorded_at", UtcDateTime, nullable=False),
        Column("not_before", UtcDateTime, nullable=True),
        Column("published_at", UtcDateTime, nullable=True),
    )
    partial_index("ix_outbox_unpublished", outbox.c.position, where=outbox.c.published_at.is_(None))
    handled = Table(
        "handled_messages",
        metadata,
        Column("message_id", String(64), primary_key=True),
        Column("handled_at", UtcDateTime, nullable=False),
    )
    return OutboxTables(outbox, handled)


def record(
    connection: Connection, tables: OutboxTables, message: Message, *, not_before: datetime | None = None
) -> None:
    """Write the message for every queue in ROUTES; the relay publishes it, not before ``not_before``."""
    text = encode_text(message)
    connection.execute(
        insert(tables.outbox),
        [
            {"queue": queue, "document": text, "recorded_at": message.occurred_at, "not_before": not_before}
            for queue in ROUTES[type(message)]
        ],
    )


def handle_once(connection: Connection, tables: OutboxTables, message_id: str, at: datetime) -> bool:
    """Claim a message for this consumer: True the first time, False ever after. Same transaction as its effects."""
    claim = insert_for(connection, tables.handled).values(message_id=message_id, handled_at=at).on_conflict_do_nothing()
    # RETURNING and not the row count: SQLAlchemy keeps none for an INSERT on PostgreSQL, and -1 would drop every event.
    return connection.execute(claim.returning(tables.handled.c.message_id)).first() is not None


@dataclass(frozen=True, slots=True)
class Pending:
    """A recorded message that waits to be published."""

    position: int
    queue: str
    text: str

    @property
    def document(self) -> dict[str, Any]:
        """The message as ``encode`` made it. Raises UnreadableMessage."""
        try:
            document = json.loads(self.text)
        except ValueError:
            raise UnreadableMessage("not JSON") from None
        if not isinstance(document, dict):
            raise UnreadableMessage("not an object")
        return document


def pending(connection: Connection, tables: OutboxTables, now: datetime, limit: int) -> list[Pending]:
    """The oldest messages that are due. A second relay may see the same ones; consumers act once."""
    box = tables.outbox.c
    query = (
        select(box.position, box.queue, box.document)
        .where(box.published_at.is_(None), or_(box.not_before.is_(None), box.not_before <= now))
        .order_by(box.position)
        .limit(limit)
    )
    return [Pending(row.position, row.queue, row.document) for row in connection.execute(query)]


def mark_published(connection: Connection, tables: OutboxTables, positions: list[int], now: datetime) -> None:
    """Publishing is done; a crash before this line publishes again, and the consumers act once."""
    box = tables.outbox
    connection.execute(update(box).where(box.c.position.in_(positions)).values(published_at=now))


def publish_again(connection: Connection, tables: OutboxTables, since: datetime) -> int:
    """Have what was published since then published once more, because the broker lost it; how many messages.

    Who has acted on one already does nothing.
    """
    box = tables.outbox
    return connection.execute(update(box).where(box.c.published_at >= since).values(published_at=None)).rowcount


def set_aside(connection: Connection, tables: OutboxTables, positions: list[int]) -> None:
    """Keep what cannot be published out of the way, for good; a person may look at it, and clear ``not_before``."""
    box = tables.outbox
    connection.execute(update(box).where(box.c.position.in_(positions)).values(not_before=SET_ASIDE))


def forget_before(connection: Connection, tables: OutboxTables, moment: datetime) -> int:
    """Delete what was published, and which messages were handled, before ``moment``; the number of rows."""
    published = connection.execute(delete(tables.outbox).where(tables.outbox.c.published_at < moment)).rowcount
    return published + connection.execute(delete(tables.handled).where(tables.handled.c.handled_at < moment)).rowcount
