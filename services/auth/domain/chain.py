"""The audit chain: what a seal of a timeline row covers, and the statements about the chain that are signed with it.

A seal is an HMAC-SHA-256 over a canonical JSON document (RFC 8785 in spirit: sorted members, no blanks, ASCII) of the
row, its number in the chain and the seal before it. Of the personal part the document holds a salted commitment only:
when value and salt are erased, the seal still fits, and nobody can try out values against it.

The version stands in front of each seal and in its document, so a later encoding can live beside this one.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.clock import rfc3339
from shared.keys import Key, KeyList

VERSION = "1"
GENESIS = ""  # what the first row is chained to


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the timeline as it was written. ``ip`` and ``personal`` are its personal part."""

    position: int
    id: str
    account_id: str | None
    at: datetime
    type: str
    actor: str
    details: dict[str, Any]
    ip: str | None
    personal: dict[str, Any] | None

    @property
    def personal_part(self) -> str | None:
        """The personal part as canonical JSON; None where there is none."""
        return None if self.ip is None and not self.personal else canonical([self.ip, self.personal])


@dataclass(frozen=True, slots=True)
class Seal:
    """What puts a row into the chain. ``sequence`` counts from 1 without gaps, in the order of sealing."""

    sequence: int
    sealed_at: datetime
    salt: str | None
    commitment: str | None
    key_id: str
    mac: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """A row with its seal."""

    record: Record
    seal: Seal

    @property
    def erased(self) -> bool:
        """Whether it had a personal part that is gone."""
        return self.seal.commitment is not None and self.seal.salt is None and self.record.personal_part is None


class AnchorName(StrEnum):
    """The two ends of what is stored: the newest sealed row, and the newest pruned one."""

    HEAD = "head"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A signed statement: at ``at`` the chain was at ``sequence`` with seal ``mac``."""

    name: AnchorName
    sequence: int
    mac: str
    at: datetime
    key_id: str
    signature: str

    @property
    def text(self) -> str:
        """For people and files: ``sequence:seal``."""
        return f"{self.sequence}:{self.mac}"


@dataclass(frozen=True, slots=True)
class Erasure:
    """A signed statement: the personal data of this person was erased from all rows up to ``through``."""

    account_id: str
    through: int
    at: datetime
    key_id: str
    signature: str


@dataclass(frozen=True, slots=True)
class Restored:
    """A signed statement: the database was set back to a backup, in which the chain ended at ``sequence``.

    The rows that were sealed after the backup are lost: those behind ``backup_ended_at`` and before ``resumes_at``. The
    chain goes on with number ``resumes_at``, beyond all that the lost part can have reached, so an anchor of the lost
    part is told from one of the chain that came after.
    """

    sequence: int
    mac: str
    backup_ended_at: int
    resumes_at: int
    backup_taken_at: datetime
    at: datetime
    key_id: str
    signature: str

    def explains(self, anchor_sequence: int) -> bool:
        """Whether an anchor with that number belongs to the lost part."""
        return self.backup_ended_at < anchor_sequence < self.resumes_at - 1


# More rows than a worker seals in a second, and more than a gap of no length can have held.
LOST_ROWS_A_SECOND, LOST_ROWS_MORE = 10_000, 1_000_000


def people_in(account_id: str | None, actor: str) -> frozenset[str]:
    """Whose personal data a row may hold: the account's, and that of who acted on it (an operator, a team's owner)."""
    return frozenset({account_id or "", actor.partition(":")[2]})


def canonical(document: object) -> str:
    """The one spelling of a JSON document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def commit(salt: str, personal_part: str) -> str:
    """The commitment to a personal part: HMAC-SHA-256 under the row's own salt."""
    return hmac.digest(salt.encode(), personal_part.encode(), hashlib.sha256).hex()


def seal(record: Record, *, sequence: int, previous: str, key: Key, salt: str, sealed_at: datetime) -> Seal:
    """The seal of the row that comes after the one with seal ``previous``."""
    part = record.personal_part
    commitment = None if part is None else commit(salt, part)
    mac = row_mac(key, record, sequence, previous, sealed_at, commitment)
    return Seal(sequence, sealed_at, None if part is None else salt, commitment, key.id, mac)


def row_mac(key: Key, record: Record, sequence: int, previous: str, sealed_at: datetime, commitment: str | None) -> str:
    """The keyed digest of everything that must not change in a row."""
    return _mac(
        key,
        "timeline row",
        sequence=sequence,
        previous=previous,
        sealed_at=rfc3339(sealed_at),
        position=record.position,
        id=record.id,
        account_id=record.account_id,
        at=rfc3339(record.at),
        type=record.type,
        actor=record.actor,
        details=record.details,
        commitment=commitment,
    )


def anchor(key: Key, name: AnchorName, sequence: int, mac: str, at: datetime) -> Anchor:
    """A new signed statement about an end of the chain."""
    return Anchor(name, sequence, mac, at, key.id, _sign_anchor(key, name, sequence, mac, at))


def erasure(key: Key, account_id: str, through: int, at: datetime) -> Erasure:
    """A new signed statement about an erasure."""
    return Erasure(account_id, through, at, key.id, _sign_erasure(key, account_id, through, at))


def restored(
    key: Key, sequence: int, mac: str, *, backup_ended_at: int, backup_taken_at: datetime, at: datetime
) -> Restored:
    """Make a signed statement about a restore. The next row is chained to its signature."""
    gap_seconds = max(0, int((at - backup_taken_at).total_seconds()))
    resumes_at = sequence + LOST_ROWS_MORE + LOST_ROWS_A_SECOND * gap_seconds
    signature = _sign_restored(key, sequence, mac, backup_ended_at, resumes_at, backup_taken_at, at)
    return Restored(sequence, mac, backup_ended_at, resumes_at, backup_taken_at, at, key.id, signature)


def is_genuine(keys: KeyList, statement: Anchor | Erasure | Restored) -> bool:
    """Whether one of our keys signed it."""
    key = keys.find(statement.key_id)
    if key is None:
        return False
    if isinstance(statement, Anchor):
        signature = _sign_anchor(key, statement.name, statement.sequence, statement.mac, statement.at)
    elif isinstance(statement, Erasure):
        signature = _sign_erasure(key, statement.account_id, statement.through, statement.at)
    else:
        signature = _sign_restored(
            key,
            statement.sequence,
            statement.mac,
            statement.backup_ended_at,
            statement.resumes_at,
            statement.backup_taken_at,
            statement.at,
        )
    return hmac.compare_digest(signature, statement.signature)


def _sign_anchor(key: Key, name: AnchorName, sequence: int, mac: str, at: datetime) -> str:
    return _mac(key, "timeline anchor", name=name, sequence=sequence, mac=mac, at=rfc3339(at))


def _sign_erasure(key: Key, account_id: str, through: int, at: datetime) -> str:
    return _mac(key, "timeline erasure", account_id=account_id, through=through, at=rfc3339(at))


def _sign_restored(
    key: Key, sequence: int, mac: str, backup_ended_at: int, resumes_at: int, backup_taken_at: datetime, at: datetime
) -> str:
    return _mac(
        key,
        "timeline restored",
        sequence=sequence,
        mac=mac,
        backup_ended_at=backup_ended_at,
        resumes_at=resumes_at,
        backup_taken_at=rfc3339(backup_taken_at),
        at=rfc3339(at),
    )


def _mac(key: Key, kind: str, **members: Any) -> str:  # noqa: ANN401 - JSON
    return f"{VERSION}:{key.mac(kind, canonical({'version': VERSION, 'key_id': key.id, **members}))}"
