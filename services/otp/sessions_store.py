"""What otp knows of auth's sessions: which have ended, and the order of their writes."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select, text

from services.otp.domain.session_id import session_of
from services.otp.models import PENDING, authenticators, ended_sessions
from shared.dialects import insert_for
from shared.problems import Refusal

# Longer than any request takes, and than auth's worker needs to report an end.
KEPT_FOR = timedelta(days=1)
_a = authenticators.c
# By number and not by row: an account may have no row of its own here.
_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended(:account, 0))")


def hold(connection: Connection, account_id: str, session_id: str | None = None) -> None:
    """Lock the account, so its writes happen one after the other, and refuse a write of a session that has ended.

    Where ``session_id`` tells the session's token (domain.session_id), the write is also refused when the session has
    got another token. On SQLite only one transaction writes at a time anyway. Raises Refusal session_ended.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(_HOLD, {"account": account_id})
    if session_id is None:
        return
    ended = ended_sessions.c.session_id
    query = select(ended).where(ended.in_([session_id, session_of(session_id)]))
    if connection.execute(query).first() is not None:
        raise Refusal("session_ended")


def end(connection: Connection, session_ids: Sequence[str], now: datetime) -> None:
    """Refuse these sessions from here on. Idempotent."""
    connection.execute(delete(ended_sessions).where(ended_sessions.c.ended_at < now - KEPT_FOR))
    if not session_ids:
        return
    rows = [{"session_id": session_id, "ended_at": now} for session_id in session_ids]
    connection.execute(insert_for(connection, ended_sessions).on_conflict_do_nothing(), rows)


def forget_enrollments(connection: Connection, account_id: str, begun_before: datetime) -> None:
    """Delete the pending enrollments of the account that were begun by ``begun_before``."""
    connection.execute(
        delete(authenticators).where(_a.account_id == account_id, _a.status == PENDING, _a.created_at <= begun_before)
    )
