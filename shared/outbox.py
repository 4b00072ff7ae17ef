"""The transactional outbox: a message is recorded with the change that it reports, and published after the commit."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
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
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)

from shared import journaling
from shared.database import UtcDateTime
from shared.dialects import insert_for, partial_index
from shared.messages import ROUTES, SENT_BY, Message, UnreadableMessage, compact, decode
from shared.signed_messages import HANDLED_KEPT_FOR, content, is_signed_by, sign
from shared.signing import Signer

KEEP_FOR = HANDLED_KEPT_FOR
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
    connection: Connection,
    tables: OutboxTables,
    message: Message,
    signer: Signer,
    *,
    not_before: datetime | None = None,
) -> None:
    """Sign the message and write it for every queue in ROUTES; the relay publishes it, not before ``not_before``.

    It is signed here because the relay holds no key: it can hold a message back, and can neither make nor change one.
    """
    rows = [_row(message, signer, queue, not_before) for queue in ROUTES[type(message)]]
    connection.execute(insert(tables.outbox), rows)
    journaling.note(connection, getattr(message, "account_id", None), message.TYPE, message.occurred_at)


def record_for_later(
    connection: Connection, tables: OutboxTables, message: Message, signer: Signer, *, not_before: datetime
) -> int:
    """Record a message of one queue that ``replace`` may still change; its position."""
    (queue,) = ROUTES[type(message)]
    row = insert(tables.outbox).values(_row(message, signer, queue, not_before)).returning(tables.outbox.c.position)
    return int(connection.execute(row).scalar_one())


def replace(
    connection: Connection,
    tables: OutboxTables,
    position: int,
    message: Message,
    signer: Signer,
    *,
    not_before: datetime,
) -> bool:
    """Put this message in the place of one that waits there for the same moment; False when that one is gone.

    The relay may have read the old one when its moment has come, so call it, and commit, well before that.
    """
    (queue,) = ROUTES[type(message)]
    box = tables.outbox
    waits = (
        box.c.position == position,
        box.c.queue == queue,
        box.c.not_before == not_before,
        box.c.published_at.is_(None),
    )
    return connection.execute(update(box).where(*waits).values(_row(message, signer, queue, not_before))).rowcount == 1


def _row(message: Message, signer: Signer, queue: str, not_before: datetime | None) -> dict[str, Any]:
    return {
        "queue": queue,
        "document": compact(sign(message, signer, queue, not_before)),
        "recorded_at": message.occurred_at,
        "not_before": not_before,
    }


def handle_once(connection: Connection, tables: OutboxTables, message_id: str, at: datetime) -> bool:
    """Claim a message for this consumer: True the first time, False ever after. Same transaction as its effects."""
    claim = insert_for(connection, tables.handled).values(message_id=message_id, handled_at=at).on_conflict_do_nothing()
    # RETURNING and not the row count: SQLAlchemy keeps none for an INSERT on PostgreSQL, and -1 would drop every event.
    return connection.execute(claim.returning(tables.handled.c.message_id)).first() is not None


def was_handled_by(connection: Connection, tables: OutboxTables, message_id: str, moment: datetime) -> bool:
    """Whether this consumer had claimed the message at this moment or before; claims are kept for KEEP_FOR."""
    known = tables.handled.c.message_id == message_id, tables.handled.c.handled_at <= moment
    return connection.execute(select(tables.handled.c.message_id).where(*known)).first() is not None


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


def sign_anew(connection: Connection, tables: OutboxTables, signer: Signer, published_since: datetime) -> int:
    """Sign what is not signed under a key of the list, and have it published; how many messages.

    Such a message was recorded by an earlier release, or signed under a key that leaked and was dropped. All that waits
    is signed, and what was published since then: consumers have set it aside, or do nothing the second time.
    """
    box = tables.outbox
    open_rows = or_(box.c.published_at.is_(None), box.c.published_at >= published_since)
    query = select(box.c.position, box.c.queue, box.c.document, box.c.not_before).where(open_rows)
    anew = [
        {"row": row.position, "text": text}
        for row in connection.execute(query)
        if (text := _signed_anew(row.document, row.queue, row.not_before, signer)) is not None
    ]
    if anew:
        statement = update(box).where(box.c.position == bindparam("row"))
        connection.execute(statement.values(document=bindparam("text"), published_at=None), anew)
    return len(anew)


def _signed_anew(text: str, queue: str, not_before: datetime | None, signer: Signer) -> str | None:
    """The document, signed anew; None when it is signed under a key of the list, or cannot be read."""
    try:
        document = json.loads(text)
        message = decode(content(document))
    except (ValueError, AttributeError, UnreadableMessage):
        return None
    if is_signed_by(document, signer) or SENT_BY[type(message)] != signer.sender:
        return None
    return compact(sign(message, signer, queue, not_before))


def set_aside(connection: Connection, tables: OutboxTables, positions: list[int]) -> None:
    """Keep what cannot be published out of the way, for good; a person may look at it, and clear ``not_before``."""
    box = tables.outbox
    connection.execute(update(box).where(box.c.position.in_(positions)).values(not_before=SET_ASIDE))


def forget_before(connection: Connection, tables: OutboxTables, moment: datetime) -> int:
    """Delete what was published, and which messages were handled, before ``moment``; the number of rows."""
    published = connection.execute(delete(tables.outbox).where(tables.outbox.c.published_at < moment)).rowcount
    return published + connection.execute(delete(tables.handled).where(tables.handled.c.handled_at < moment)).rowcount
