"""SQL of enrolment words. Every transition is one statement, and its row count is the answer."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, not_, update

from services.auth.models import enrollment_words as words

ATTEMPTS = 5


def add(
    connection: Connection, *, word_id: str, account_id: str, digest: str, now: datetime, usable_from: datetime | None
) -> None:
    """Store a word's digest."""
    row = {"id": word_id, "account_id": account_id, "digest": digest, "issued_at": now, "usable_from": usable_from}
    connection.execute(insert(words).values(**row, attempts=0))


def make_usable(connection: Connection, word_id: str, now: datetime) -> bool:
    """Let the word be used from this moment on; False when it was removed."""
    return connection.execute(update(words).where(words.c.id == word_id).values(usable_from=now)).rowcount == 1


def remove_others(connection: Connection, account_id: str, word_id: str, *, usable_only: bool = False) -> None:
    """Delete every word of the account but this one, or only those that are usable: one word at most stays usable."""
    others = delete(words).where(words.c.account_id == account_id, words.c.id != word_id)
    connection.execute(others.where(words.c.usable_from.is_not(None)) if usable_only else others)


def remove_issued_by(connection: Connection, account_id: str, moment: datetime) -> None:
    """Delete the account's words that were issued up to a moment."""
    connection.execute(delete(words).where(words.c.account_id == account_id, words.c.issued_at <= moment))


def remove_all(connection: Connection, account_ids: Sequence[str]) -> None:
    """Delete every word of these accounts."""
    connection.execute(delete(words).where(words.c.account_id.in_(account_ids)))


def count_attempt(connection: Connection, account_id: str, usable_after: datetime) -> bool:
    """Count a try at the account's word before it is compared; False when no word may be tried."""
    statement = update(words).where(_usable(account_id, usable_after), words.c.attempts < ATTEMPTS)
    return connection.execute(statement.values(attempts=words.c.attempts + 1)).rowcount == 1


def claim(
    connection: Connection,
    account_id: str,
    session_id: str,
    digests: list[str],
    now: datetime,
    usable_after: datetime,
) -> bool:
    """Use the word in this session, in the transaction that counted the try; False when it is another word."""
    statement = update(words).where(_usable(account_id, usable_after), words.c.digest.in_(digests))
    return connection.execute(statement.values(spent_at=now, spent_by=session_id, attempts=0)).rowcount == 1


def _usable(account_id: str, usable_after: datetime) -> ColumnElement[bool]:
    """The account's word, if it is young enough and not void: an earlier release spent a void word in no session."""
    is_void = and_(words.c.spent_at.is_not(None), words.c.spent_by.is_(None))
    return and_(words.c.account_id == account_id, words.c.usable_from > usable_after, not_(is_void))
