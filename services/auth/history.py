"""An account's whole timeline: auth's own rows and otp's attempts as one list, newest first, page by page.

Each of the two is a list with a place of its own, so a cursor holds both places. A page goes on exactly behind the last
item that was shown of either, whatever has been added on top meanwhile.
"""

import heapq
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.auth import pages
from services.auth.deps import Deps
from services.auth.domain.browsers import describe
from services.auth.store import timeline
from services.auth.store.timeline import OWNER, TimelineRow
from shared.clock import parse_rfc3339
from shared.database import reading

ATTEMPTS_PAGE = 100  # the most that otp gives at once


@dataclass(frozen=True, slots=True)
class Place:
    """How far both lists were shown. otp's place is the cursor of one of its pages and the last item shown of it."""

    row: int | None = None
    attempt_page: str | None = None
    attempt: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the timeline."""

    id: str
    at: datetime
    source: str
    type: str
    actor: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Step:
    """An item and the place behind it in its own list."""

    item: Item
    row: int | None = None
    attempt_page: str | None = None
    attempt: str | None = None

    def advance(self, place: Place) -> Place:
        if self.row is not None:
            return replace(place, row=self.row)
        return replace(place, attempt_page=self.attempt_page, attempt=self.attempt)


# The two lists: rows below a position, and a page of attempts by otp's own contract.
Rows = Callable[[int | None, int], Sequence[TimelineRow]]
Attempts = Callable[[int, str | None], dict[str, Any]]


def page(deps: Deps, account_id: str, *, limit: int, cursor: str | None) -> tuple[list[Item], str | None]:
    """Up to ``limit`` items and the cursor of what follows. Raises Refusal validation_failed (cursor); Unavailable."""

    def rows(before: int | None, count: int) -> Sequence[TimelineRow]:
        with reading(deps.database) as connection:
            return timeline.newest(connection, account_id, before=before, limit=count)

    def attempts(count: int, page_cursor: str | None) -> dict[str, Any]:
        return deps.otp.attempts(account_id, limit=count, cursor=page_cursor)

    items, behind = merge(rows, attempts, read_cursor(cursor), limit)
    return items, write_cursor(behind) if behind else None


def merge(rows: Rows, attempts: Attempts, place: Place, limit: int) -> tuple[list[Item], Place | None]:
    """The ``limit`` newest items from behind ``place``, and the place behind them unless that is the end.

    Each list keeps its own order, which is that of writing; between the two, the later head goes first.
    """
    steps = list(
        itertools.islice(
            heapq.merge(
                (_Step(item_of(row), row=row.position) for row in rows(place.row, limit + 1)),
                _attempts(attempts, place, min(limit + 1, ATTEMPTS_PAGE)),
                key=lambda step: step.item.at,
                reverse=True,
            ),
            limit + 1,
        )
    )
    for step in steps[:limit]:
        place = step.advance(place)
    return [step.item for step in steps[:limit]], place if len(steps) > limit else None


def item_of(row: TimelineRow) -> Item:
    """One of auth's own rows."""
    details = {**row.details, **({"ip": row.ip} if row.ip else {})}
    if "browser" in details:  # a row of an earlier release holds what the client wrote
        details["browser"] = describe(str(details["browser"]))
    return Item(row.id, row.at, "auth", row.type, row.actor, details)


_OWN_MEMBERS = frozenset({"id", "at", "outcome"})


def _attempts(attempts: Attempts, place: Place, count: int) -> Iterator[_Step]:
    """otp's attempts from behind ``place``, fetched page by page as they are asked for."""
    page_cursor, passed = place.attempt_page, place.attempt is None
    while True:
        answer = attempts(count, page_cursor)
        for attempt in answer["items"]:
            name = str(attempt["id"])
            if passed:
                details = {
                    key: value for key, value in attempt.items() if key not in _OWN_MEMBERS and value is not None
                }
                at = parse_rfc3339(attempt["at"])
                item = Item(name, at, "otp", f"second_factor.{attempt['outcome']}", OWNER, details)
                yield _Step(item, attempt_page=page_cursor, attempt=name)
            passed = passed or name == place.attempt
        page_cursor = answer["next_cursor"]
        if page_cursor is None:
            return


_CURSOR = re.compile(r"([0-9]{0,18})/([A-Za-z0-9_-]{0,80})/([A-Za-z0-9_=-]{0,80})\Z")


def read_cursor(cursor: str | None) -> Place:
    """The place in a cursor. Raises Refusal validation_failed for what we did not write."""
    text = pages.decode_cursor(cursor)
    if text is None:
        return Place()
    parts = _CURSOR.match(text)
    if parts is None:
        raise pages.not_ours()
    row, attempt, attempt_page = parts.groups()
    return Place(int(row) if row else None, attempt_page or None, attempt or None)


def write_cursor(place: Place) -> str:
    """A place as a cursor."""
    row = "" if place.row is None else str(place.row)
    return pages.encode_cursor(f"{row}/{place.attempt or ''}/{place.attempt_page or ''}")
