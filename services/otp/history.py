"""The attempts of an account, newest first, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from services.otp import attempts_store
from services.otp.deps import Deps
from shared.database import reading


@dataclass(frozen=True, slots=True)
class Page:
    """Some attempts, and the cursor of the next page."""

    items: Sequence[Row[Any]]
    next_cursor: str | None


def attempts(deps: Deps, account_id: str, *, cursor: int | None, limit: int) -> Page:
    """At most ``limit`` attempts that come after ``cursor``."""
    with reading(deps.database) as connection:
        rows = attempts_store.read_attempts(connection, account_id, before=cursor, limit=limit + 1)
    page = rows[:limit]
    return Page(page, str(page[-1].position) if len(rows) > limit else None)
