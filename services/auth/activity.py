"""The owner's own timeline. Who at support did something is not the owner's business; that support did it is."""

from dataclasses import replace

from services.auth import history
from services.auth.deps import Deps
from services.auth.domain.account import Account
from services.auth.history import Item

_SHOWN_AS = {"operator": "support", "team-owner": "team owner"}


def page(deps: Deps, account: Account, *, limit: int, cursor: str | None) -> tuple[list[Item], str | None]:
    """One page, newest first."""
    items, next_cursor = history.page(deps, account.id, limit=limit, cursor=cursor)
    return [replace(item, actor=_public(item.actor)) for item in items], next_cursor


def _public(actor: str) -> str:
    kind = actor.partition(":")[0]
    return _SHOWN_AS.get(kind, kind)
