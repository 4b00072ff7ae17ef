"""Cursors of lists: opaque to callers, the last row's key to us."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from shared.problems import Refusal

T = TypeVar("T")

DEFAULT_PAGE, MAX_PAGE = 50, 200
_POSITION = re.compile(r"[0-9]{1,18}\Z")


def encode_cursor(key: str) -> str:
    """A key as a cursor."""
    return base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str | None) -> str | None:
    """The key in a cursor. Raises Refusal validation_failed for what we did not write."""
    if cursor is None:
        return None
    try:
        key = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise not_ours() from None
    if not key.isprintable():  # PostgreSQL takes no NUL byte
        raise not_ours()
    return key


def decode_position(cursor: str | None) -> int | None:
    """The row's position in a cursor. Raises Refusal validation_failed for what we did not write."""
    key = decode_cursor(cursor)
    if key is None:
        return None
    if _POSITION.match(key) is None:  # a larger one is no number to SQL
        raise not_ours()
    return int(key)


def not_ours() -> Refusal:
    """The answer to a cursor that we did not write."""
    return Refusal("validation_failed", extra={"errors": {"cursor": ["Not a cursor of ours."]}})


def page(rows: Sequence[T], limit: int, key: Callable[[T], str], show: Callable[[T], Any]) -> dict[str, Any]:
    """``{items, next_cursor}`` from up to ``limit + 1`` rows: the one too many says that there is more."""
    shown = rows[:limit]
    more = len(rows) > limit
    return {"items": [show(row) for row in shown], "next_cursor": encode_cursor(key(shown[-1])) if more else None}
