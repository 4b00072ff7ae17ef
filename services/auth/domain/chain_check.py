"""What is wrong with a chain: rows are handed in in their order, faults come out, the first bad row first."""

import hmac
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.auth.domain.chain import (
    GENESIS,
    Anchor,
    Erasure,
    Restored,
    Sealed,
    commit,
    is_genuine,
    people_in,
    row_mac,
)
from shared.keys import KeyList


class FaultKind(StrEnum):
    """What can be wrong; the words are what an operator reads."""

    EDITED = "was changed, moved, or sealed by somebody without the key"
    MISSING = "is missing: deleted, or its number was taken away"
    INSERTED = "does not belong here: it was put in, or moved"
    PERSONAL_EDITED = "has other personal data than it was sealed with"
    BLANKED = "lost its personal data without a recorded erasure"
    UNKNOWN_KEY = "was sealed under a key that AUTH_AUDIT_KEYS does not hold"
    FORGED_CHECKPOINT = "is where the checkpoint says that pruning ended, and the checkpoint is not ours"
    FORGED_RESTORE = "is where the chain went on after a restore, and the record of the restore is not ours"
    FORGED_ERASURE = "is where an erasure says that it ended, and its record is not ours"
    HEAD = "is not where the head says that the chain ends"
    ANCHOR = "has another seal than the anchor that was kept elsewhere"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: at which number of the chain, and in which row where one is there."""

    kind: FaultKind
    sequence: int
    row_id: str | None = None
    through: int | None = None  # the last of several missing rows

    def __str__(self) -> str:
        where = f"{self.sequence}" if self.through in {None, self.sequence} else f"{self.sequence} to {self.through}"
        return f"row {where}{f' ({self.row_id})' if self.row_id else ''} {self.kind}"


class Checker:
    """Takes the rows behind ``checkpoint`` in the order of their numbers, and says what is wrong.

    ``anchors`` are seals by number that somebody kept where the database's writers cannot reach.
    """

    def __init__(
        self,
        keys: KeyList,
        checkpoint: Anchor | None,
        erasures: Collection[Erasure] = (),
        anchors: Mapping[int, str] | None = None,
        restores: Collection[Restored] = (),
    ) -> None:
        self._keys = keys
        self._checkpoint = checkpoint
        self._sequence, self._mac = (checkpoint.sequence, checkpoint.mac) if checkpoint else (0, GENESIS)
        self._erasures = {one.account_id: one.through for one in erasures if is_genuine(keys, one)}
        self._forged = [one for one in erasures if not is_genuine(keys, one)]
        self._restores = {one.sequence: one for one in restores if is_genuine(keys, one)}
        self._forged_restores = [one for one in restores if not is_genuine(keys, one)]
        self._anchors = {
            number: mac
            for number, mac in (anchors or {}).items()
            if not any(one.explains(number) for one in self._restores.values())
        }
        self.explained = len(anchors or {}) - len(self._anchors)
        self.rows = self.erased = 0

    def begin(self) -> Iterator[Fault]:
        """What is wrong before the first row."""
        if self._checkpoint is not None and not is_genuine(self._keys, self._checkpoint):
            yield Fault(FaultKind.FORGED_CHECKPOINT, self._checkpoint.sequence)
        for one in self._forged:
            yield Fault(FaultKind.FORGED_ERASURE, one.through, one.account_id)
        for restore in self._forged_restores:
            yield Fault(FaultKind.FORGED_RESTORE, restore.resumes_at)
        yield from self._against_anchor(None)

    def take(self, row: Sealed) -> Iterator[Fault]:
        """What is wrong with the next row, or with the place before it."""
        self.rows += 1
        yield from self._pass_restores(row.seal.sequence)
        sequence, expected = row.seal.sequence, self._sequence + 1
        if sequence < expected:
            yield Fault(FaultKind.INSERTED, sequence, row.record.id)
            return
        if sequence > expected:  # and nobody can say what this row's seal was chained to
            yield Fault(FaultKind.MISSING, expected, through=sequence - 1)
        else:
            yield from self._seal_of(row)
        yield from self._personal_part_of(row)
        # With what is stored, not with what should be: the next row is judged for itself.
        self._sequence, self._mac = sequence, row.seal.mac
        yield from self._against_anchor(row.record.id)

    def end(self, head: Anchor | None) -> Iterator[Fault]:
        """What is wrong behind the last row: rows that the head or an anchor knows of, and a head that is not ours."""
        yield from self._pass_restores(head.sequence + 1 if head else 0)
        newest = max([self._sequence, head.sequence if head else 0, *self._anchors])
        if newest > self._sequence:
            yield Fault(FaultKind.MISSING, self._sequence + 1, through=newest)
        if head is None:
            fits = self._sequence == 0
        else:
            fits = is_genuine(self._keys, head) and head.sequence >= self._sequence
            fits = fits and (head.sequence > self._sequence or head.mac == self._mac)
        if not fits:
            yield Fault(FaultKind.HEAD, self._sequence)

    def _pass_restores(self, sequence: int) -> Iterator[Fault]:
        """Go on behind restores that happened here, up to the row of that number."""
        while (restore := self._restores.get(self._sequence)) is not None:
            if restore.mac != self._mac or restore.resumes_at > sequence:
                return
            self._sequence, self._mac = restore.resumes_at - 1, restore.signature
            yield from self._against_anchor(None)

    def _seal_of(self, row: Sealed) -> Iterator[Fault]:
        seal, key = row.seal, self._keys.find(row.seal.key_id)
        if key is None:
            yield Fault(FaultKind.UNKNOWN_KEY, seal.sequence, row.record.id)
            return
        expected = row_mac(key, row.record, seal.sequence, self._mac, seal.sealed_at, seal.commitment)
        if not hmac.compare_digest(expected, seal.mac):
            yield Fault(FaultKind.EDITED, seal.sequence, row.record.id)

    def _personal_part_of(self, row: Sealed) -> Iterator[Fault]:
        seal, part = row.seal, row.record.personal_part
        if row.erased:
            self.erased += 1
            people = people_in(row.record.account_id, row.record.actor)
            if not any(self._erasures.get(person, 0) >= seal.sequence for person in people):
                yield Fault(FaultKind.BLANKED, seal.sequence, row.record.id)
            return
        expected = commit(seal.salt, part) if seal.salt is not None and part is not None else None
        if expected != seal.commitment or (expected is None) != (part is None):
            yield Fault(FaultKind.PERSONAL_EDITED, seal.sequence, row.record.id)

    def _against_anchor(self, row_id: str | None) -> Iterator[Fault]:
        if self._anchors.get(self._sequence, self._mac) != self._mac:
            yield Fault(FaultKind.ANCHOR, self._sequence, row_id)
