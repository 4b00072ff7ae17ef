"""Move the secrets at rest to the newest key, and say which key holds how many. docs/keys.md has the whole rotation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import Engine

from services.otp import sealed_store
from services.otp.sealed_store import SealedRow
from services.otp.secrets_box import SecretBox
from shared.clock import Clock
from shared.database import claiming, reading, writing
from shared.problems import Unavailable

ROWS_AT_ONCE = 200
SAMPLED = 8  # secrets of a key; one row that somebody damaged must not keep the service from starting


class Place(StrEnum):
    """Where a key stands in our list."""

    NEWEST = "newest"
    OTHER = "other"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key, and how many secrets it holds."""

    key_id: str
    place: Place
    secrets: int


class KeyMissing(Exception):  # noqa: N818 - a state, as Unavailable is
    """Secrets are sealed under a key that we don't have; the message names keys by their ids."""


@dataclass(slots=True)
class Rewrapped:
    """What came of it: how many rows were moved, how many abandoned enrollments forgotten, which rows do not open."""

    moved: int = 0
    forgotten: int = 0
    unreadable: list[str] = field(default_factory=list)


def census(database: Engine, box: SecretBox) -> list[KeyUse]:
    """Every key of the list, in its order, then those that hold secrets and are missing there."""
    with reading(database) as connection:
        newest = KeyUse(box.newest_key_id, Place.NEWEST, sealed_store.count_under(connection, box.newest_key_id))
    return [newest, *left_behind(database, box)]


def left_behind(database: Engine, box: SecretBox) -> list[KeyUse]:
    """The same without the newest key, so that it costs little when nothing is left to be moved."""
    with reading(database) as connection:
        missing = [key_id for key_id in sealed_store.key_ids(connection) if key_id not in box.key_ids]
        return [
            KeyUse(key_id, place, sealed_store.count_under(connection, key_id))
            for place, key_ids in ((Place.OTHER, box.key_ids[1:]), (Place.MISSING, missing))
            for key_id in key_ids
        ]


def require_keys(database: Engine, box: SecretBox, clock: Clock) -> None:
    """Raises KeyMissing when live secrets are sealed under a key that is not in the list, or that has another's id."""
    with reading(database) as connection:
        key_ids = list(sealed_store.key_ids(connection))
        live = {key_id: sealed_store.list_live(connection, key_id, clock(), limit=SAMPLED) for key_id in key_ids}
    faults = []
    for key_id, rows in live.items():
        if rows and key_id not in box.key_ids:
            faults.append(f"lacks key {key_id}, which holds secrets: put it back behind the first key")
        elif rows and not any(_opens(box, row) for row in rows):
            faults.append(f"has a key {key_id} that is not the one which holds secrets: put that one back")
    if faults:
        raise KeyMissing("; ".join(f"OTP_SECRET_KEYS {fault}" for fault in faults))


def rewrap(database: Engine, box: SecretBox, clock: Clock, *, seen: Callable[[int], object]) -> Rewrapped:
    """Seal under the newest key what other keys of the list hold, while the service runs; ``seen`` hears of each page.

    Each row is compared and set by a statement of its own: whoever uses, replaces or revokes it meanwhile wins, and
    holds nobody up. A run that is broken off loses nothing, for the next one finds what is left. What does not open
    is left as it is.
    """
    result = Rewrapped()
    for key_id in box.key_ids[1:]:
        with writing(database) as connection:
            forgotten = sealed_store.forget_abandoned(connection, key_id, clock())
        result.forgotten += forgotten
        seen(forgotten)
        for page in _pages(database, key_id):
            for row in page:
                _move(database, box, row, result)
            seen(len(page))
    return result


def _pages(database: Engine, key_id: str) -> Iterator[list[SealedRow]]:
    after = ""
    while True:
        with reading(database) as connection:
            page = sealed_store.list_under(connection, key_id, after=after, limit=ROWS_AT_ONCE)
        if not page:
            return
        yield page
        after = page[-1].id


def _move(database: Engine, box: SecretBox, row: SealedRow, result: Rewrapped) -> None:
    try:
        sealed = box.seal(box.open(row.sealed, row.account_id, row.id), row.account_id, row.id)
    except Unavailable:
        result.unreadable.append(row.id)
        return
    with reading(database) as connection, claiming(connection):
        result.moved += sealed_store.replace_sealed(connection, row, sealed)


def _opens(box: SecretBox, row: SealedRow) -> bool:
    try:
        box.open(row.sealed, row.account_id, row.id)
    except Unavailable:
        return False
    return True
