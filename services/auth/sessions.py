"""The sessions of an account: listed, and ended, which its timeline tells."""

from services.auth import session_store
from services.auth.deps import Client, Deps
from services.auth.domain.session import Session
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared.database import writing


def listed(deps: Deps, account_id: str) -> list[Session]:
    """All live ones, newest first."""
    return session_store.sessions_of(deps.redis, account_id)


def end(deps: Deps, client: Client, account_id: str, session_id: str) -> bool:
    """End one of them; False when the account has none of that id."""
    if not session_store.end(deps.redis, account_id, session_id):
        return False
    with writing(deps.database) as connection:
        timeline.write(connection, account_id, Entry.SESSION_ENDED, deps.clock(), ip=client.ip, session_id=session_id)
    return True
