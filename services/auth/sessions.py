"""The sessions of an account: listed, and ended, which its timeline tells."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from services.auth import consequences, session_store, trusted_devices
from services.auth.consequences import Acting, Concerned
from services.auth.deps import Client, Deps
from services.auth.domain.consequences import Change
from services.auth.domain.session import Session
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared.problems import Unavailable


def listed(deps: Deps, account_id: str, *, after: str | None, limit: int) -> list[Session]:
    """Live ones, newest first, from behind the position ``after`` (session_store.position)."""
    found = session_store.sessions_of(deps.redis, account_id)
    return [session for session in found if after is None or session_store.position(session) < after][:limit]


def record_displaced(connection: Connection, deps: Deps, client: Client, opened: Session, ended: Sequence[str]) -> None:
    """Record that a new session has ended the account's oldest ones, in its timeline and for otp."""
    for session_id in ended:
        facts = {"ip": client.ip, "session_id": session_id, "cause": "too_many_sessions"}
        timeline.write(connection, opened.account_id, Entry.SESSION_ENDED, opened.authenticated_at, **facts)
    consequences.record_ended(connection, deps, opened.account_id, ended, opened.authenticated_at)


def end(deps: Deps, client: Client, acting: Acting, session_id: str) -> bool:
    """End one of the account's sessions, with all that the session has begun; False when the id is not one of them.

    A repeat of the call finds the session ended, and records nothing.

    No write of that session is committed after this returns. Raises Refusal not_authenticated; Unavailable when the
    session has ended and otp does not answer: what otp has under way for it may still be committed.
    """
    return _end(deps, client, acting.session.account_id, session_id, acting)


def end_all(deps: Deps, client: Client, acting: Acting, *, spares_own: bool) -> bool:
    """End the account's sessions at once, or all but the one that orders it; whether that one has ended.

    One entry in the timeline stands for all of them. A call that ends none records nothing. Raises Refusal
    not_authenticated; Unavailable as ``end`` does.
    """
    account_id, spared = acting.session.account_id, acting.session.id if spares_own else None
    with consequences.changing(deps, Change.SESSION_ENDED, account_id, acting=acting, otp=deps.otp) as changing:
        live = session_store.sessions_of(deps.redis, account_id)
        ids = [session.id for session in live if session.id != spared]
        changing.concerned = Concerned(session_ids=ids)
        for session_id in ids:
            session_store.note_ended(deps.redis, account_id, session_id)
        if ids:
            facts: dict[str, Any] = {"ip": client.ip, "sessions": len(ids)}
            facts |= {"cause": "all_others"} if spares_own else {}
            timeline.write(changing.connection, account_id, Entry.SESSION_ENDED, changing.now, **facts)
    return changing.acting_ended


@dataclass(frozen=True, slots=True)
class Forget:
    """The owner ticked "forget this browser". ``device_tokens``: what the browser holds, of whatever accounts."""

    device_tokens: Sequence[str] = ()


def log_out(deps: Deps, client: Client, acting: Acting, forget: Forget | None = None) -> None:
    """End the session itself, and its device if the browser is to be forgotten.

    If otp does not answer, an event tells it later. Raises Refusal not_authenticated.
    """
    if forget is not None:
        with suppress(Unavailable):
            trusted_devices.forget(deps, client, acting, forget.device_tokens)
    if forget is None or session_store.find(deps.redis, acting.token) is not None:
        with suppress(Unavailable):
            end(deps, client, acting, acting.session.id)


def end_spent(deps: Deps, client: Client, account_id: str, session_id: str) -> None:
    """End a session whose step-up has met too many wrong codes. If otp does not answer, an event tells it later."""
    with suppress(Unavailable):
        _end(deps, client, account_id, session_id, None, cause="wrong_codes")


def end_replaced(deps: Deps, client: Client, token: str | None) -> None:
    """End the session whose cookie a browser still had when it signed in again, as this account or as another.

    If otp does not answer, an event tells it later.
    """
    session = session_store.find(deps.redis, token) if token else None
    if session is not None:
        with suppress(Unavailable):
            _end(deps, client, session.account_id, session.id, None, cause="signed_in_again")


def _end(
    deps: Deps,
    client: Client,
    account_id: str,
    session_id: str,
    acting: Acting | None,
    **details: Any,  # noqa: ANN401 - JSON
) -> bool:
    concerned = Concerned(session_ids=(session_id,))
    with consequences.changing(
        deps, Change.SESSION_ENDED, account_id, acting=acting, otp=deps.otp, concerned=concerned
    ) as changing:
        if session_store.is_live(deps.redis, account_id, session_id):
            session_store.note_ended(deps.redis, account_id, session_id)
            facts = {"ip": client.ip, "session_id": session_id, **details}
            timeline.write(changing.connection, account_id, Entry.SESSION_ENDED, changing.now, **facts)
    return session_id in changing.session_ids or session_store.was_ended(deps.redis, account_id, session_id)
