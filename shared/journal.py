"""The security journal: the state of an account after each security change, in a file outside the database.

A restored database has lost what changed since its backup. The journal still has it, so that ``after-restore`` can
apply it again. A change is written, and synced to the disk, before its transaction commits; when that fails, the
transaction fails too.

A line is ``1 NUMBER PREVIOUS KEY-ID BODY``. BODY is sealed with AES-256-GCM, because it holds password hashes and
sealed secrets; the rest of the line and the service's name are its associated data. PREVIOUS is a digest of the line
before, so that the reader finds a line that was changed, moved, doubled or removed from the middle. Lines removed from
the front look pruned, so the reader says when the rest begins. Lines cut off at the end are found only by comparing
with the newest ``NUMBER:DIGEST``, which each append logs.

Several processes append to one file; each holds a lock meanwhile. A line that a killed process left half written is
closed by the next one, and skipped by the reader.
"""

import base64
import binascii
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from shared.clock import parse_rfc3339, rfc3339
from shared.keys import Key, KeyList
from shared.problems import Unavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = "1"
BEGUN = "journal.begun"  # the first line: from then on, everything is in it
NONCE_BYTES = 12
LOCK_WAIT_SECONDS = 1.0
_PRIVATE_FILE = 0o600
_TAIL_BYTES = 64 * 1024
_SHAPE = re.compile(rb"1 ([0-9]{1,18}) ([0-9a-f]{32}) ([A-Za-z0-9_-]{1,32}) ([A-Za-z0-9_=-]+)\Z")
_NOTHING_BEFORE = "0" * 32

log = structlog.get_logger("journal")


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to an account, and how it stood then. ``number`` is its place in the journal."""

    kind: str
    account_id: str
    at: datetime
    actor: str
    state: Mapping[str, Any]
    number: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """A journal as read: its entries in their order, and what is wrong with it, in words."""

    entries: list[Entry]
    faults: list[str]
    skipped: int
    end: str

    @property
    def begins_at(self) -> datetime | None:
        """From when on the journal is complete."""
        return self.entries[0].at if self.entries else None


@dataclass(frozen=True, slots=True)
class _Line:
    raw: bytes
    number: int
    previous: str
    key_id: str
    body: bytes

    @property
    def digest(self) -> str:
        return _digest(self.raw)


class Journal:
    """One service's journal. ``name`` is the service's, so that one's lines don't pass for the other's."""

    def __init__(self, path: Path, keys: KeyList, name: str) -> None:
        self._path, self._keys, self._name = path, keys, name

    def begin(self, at: datetime) -> None:
        """Make the file with its first line, unless it is there. Raises Unavailable."""
        with self._locked():
            if not self._path.exists():
                self._append([Entry(BEGUN, "", at, "", {})])

    def append(self, entries: Sequence[Entry]) -> None:
        """Add lines and wait until the disk has them. Raises Unavailable."""
        with self._locked():
            self._append(entries)

    def read(self) -> Reading:
        """All of it. Raises OSError when the file can't be read.

        A line that a killed process left half written does not open, and is skipped. It stands at the end of the file,
        or the line after it is chained to the line before it. Any other line that does not open was changed: a fault.
        """
        entries: list[Entry] = []
        faults: list[str] = []
        last: _Line | None = None
        skipped = 0
        unread: list[int] = []  # places of lines that do not open, since the last one that does
        *closed, half = self._path.read_bytes().split(b"\n")
        for place, raw in enumerate((*closed, half), start=1):
            line = _parse(raw)
            entry = self._open(line) if line else None
            if line is None or entry is None:
                if line is not None and self._keys.find(line.key_id) is None:
                    faults.append(f"line {place} is sealed under key {line.key_id}, which the list does not hold")
                elif raw and place <= len(closed):
                    unread.append(place)
                skipped += bool(raw)
                continue
            if last is not None and (line.number, line.previous) != (last.number + 1, last.digest):
                faults.append(f"line {place} does not follow the one before: lines are missing, or were changed")
            elif last is None and unread and line.previous != _NOTHING_BEFORE:
                faults.append(f"the lines before line {place} do not open: they were changed")
            unread = []
            entries.append(entry)
            last = line
        faults += [f"line {place} does not open, and no line follows it: it was changed" for place in unread]
        return Reading(entries, faults, skipped, "nothing" if last is None else f"{last.number}:{last.digest}")

    def prune(self, before: datetime) -> int:
        """Drop the oldest lines, up to the first that is not older; how many. Raises Unavailable, OSError."""
        with self._locked():
            lines = self._path.read_bytes().splitlines(keepends=True)
            dropped = 0
            for raw in lines[:-1]:  # the last one stays: the next one is chained to it
                line = _parse(raw.rstrip(b"\n"))
                entry = self._open(line) if line else None
                if entry is not None and entry.at >= before:
                    break
                dropped += 1
            draft = self._path.with_name(f"{self._path.name}.draft")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_FILE)
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(lines[dropped:])
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            return dropped

    def _append(self, entries: Sequence[Entry]) -> None:
        number, previous, torn = self._end()
        text = b"\n" if torn else b""
        for entry in entries:
            number += 1
            line = self._seal(entry, number, previous)
            previous = line.digest
            text += line.raw + b"\n"
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _PRIVATE_FILE)
        try:
            size = os.fstat(descriptor).st_size
            if os.write(descriptor, text) != len(text):
                os.ftruncate(descriptor, size)
                raise OSError("the line was written in part")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            _sync_folder(self._path.parent)
        log.info("journal", service=self._name, end=f"{number}:{previous}")

    def _end(self) -> tuple[int, str, bool]:
        """The last line's number, the digest that the next line names, and whether the file ends in half a line.

        Half a line is skipped. A closed line that does not open was changed. The next line names its digest all the
        same, so that the reader finds the change.
        """
        if not self._path.exists():
            return 0, _NOTHING_BEFORE, False
        with self._path.open("rb") as file:
            size, tail = file.seek(0, os.SEEK_END), _TAIL_BYTES
            while True:
                start = max(0, size - tail)
                file.seek(start)
                *closed, half = file.read().split(b"\n")[0 if start == 0 else 1 :] or [b""]
                changed = None
                for raw in (half, *reversed(closed)):
                    line = _parse(raw)
                    if line is not None and (self._keys.find(line.key_id) is None or self._open(line) is not None):
                        return line.number, changed or line.digest, bool(half)
                    if raw and raw is not half:
                        changed = changed or _digest(raw)
                if start == 0:
                    return 0, changed or _NOTHING_BEFORE, bool(half)
                tail *= 4

    def _seal(self, entry: Entry, number: int, previous: str) -> _Line:
        key = self._keys.newest
        document = {
            "kind": entry.kind,
            "account_id": entry.account_id,
            "at": rfc3339(entry.at),
            "actor": entry.actor,
            "state": entry.state,
        }
        nonce = os.urandom(NONCE_BYTES)
        about = self._about(number, previous, key)
        body = nonce + _cipher(key).encrypt(nonce, json.dumps(document, separators=(",", ":")).encode(), about)
        text = base64.urlsafe_b64encode(body)
        return _Line(f"{VERSION} {number} {previous} {key.id} ".encode() + text, number, previous, key.id, body)

    def _open(self, line: _Line) -> Entry | None:
        key = self._keys.find(line.key_id)
        if key is None:
            return None
        nonce, body = line.body[:NONCE_BYTES], line.body[NONCE_BYTES:]
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as _cipher

        try:
            document = json.loads(_cipher(key).decrypt(nonce, body, self._about(line.number, line.previous, key)))
        except (InvalidTag, ValueError):
            return None
        at = parse_rfc3339(document["at"])
        return Entry(document["kind"], document["account_id"], at, document["actor"], document["state"], line.number)

    def _about(self, number: int, previous: str, key: Key) -> bytes:
        return f"latchkey journal {VERSION} {self._name} {number} {previous} {key.id}".encode()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one who writes. Raises Unavailable when that takes too long, and for whatever the disk says."""
        try:
            descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
            try:
                _lock(descriptor)
                yield
            finally:
                os.close(descriptor)
        except OSError as error:
            log.error("journal not written", service=self._name, cause=error.strerror or str(error))  # noqa: TRY400
            raise Unavailable("journal") from error


def _lock(descriptor: int) -> None:
    until = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.005)
        else:
            return


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cipher(key: Key) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - 5 MB that few processes need

    return AESGCM(key.material.reveal())


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:32]


def _parse(raw: bytes) -> _Line | None:
    parts = _SHAPE.match(raw)
    if parts is None:
        return None
    number, previous, key_id, text = parts.groups()
    try:
        body = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        return None
    return _Line(raw, int(number), previous.decode(), key_id.decode(), body)
