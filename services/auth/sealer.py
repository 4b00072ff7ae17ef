"""Sealing: each committed row of the timeline gets its place in the audit chain, within seconds.

Requests write rows without a seal, as many at once as they like; the worker seals what is committed. So no request
waits for the chain, and the gateway needs no key of it. Several sealers are as good as one: who moves the head seals.
"""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from services.auth.domain import chain
from services.auth.domain.chain import GENESIS, Anchor, AnchorName
from services.auth.store import chain as store
from shared.clock import Clock
from shared.database import reading, writing
from shared.keys import KeyList
from shared.problems import Unavailable

BATCH = 200  # on SQLite a batch holds the one write lock for some milliseconds
IDLE_SECONDS = 1.0
PAUSE_AFTER_FAILURE_SECONDS = 5.0
ANCHOR_EVERY = timedelta(minutes=1)

log = structlog.get_logger("auth.sealer")


@dataclass(frozen=True, slots=True)
class AuditDeps:
    """What the audit chain takes."""

    database: Engine
    keys: KeyList
    clock: Clock


class BrokenChainError(Exception):
    """The chain cannot be continued: its end is not where we left it."""


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one batch: the end of the chain after it, and how many rows were sealed."""

    head: Anchor | None
    sealed: int


def seal(deps: AuditDeps, seen: Anchor | None = None) -> Step:
    """Seal one batch, or nothing when another sealer was faster. ``seen``: where the caller saw the end of the chain.

    A forged or older head is not built upon: that would put our seal under a shortened chain.
    Raises BrokenChainError, and store errors.
    """
    with reading(deps.database) as connection:
        # The head first: rows that another sealer takes after this line make the claim below fail.
        head = store.anchor(connection, AnchorName.HEAD)
        if head is None and store.has_seals(connection):  # by another sealer, a moment ago?
            head = store.anchor(connection, AnchorName.HEAD)
            if head is None:
                raise BrokenChainError("the head is gone")
        rows = store.unsealed(connection, BATCH)
    if head is not None and not chain.is_genuine(deps.keys, head):
        raise BrokenChainError("the head is not signed by a key of AUTH_AUDIT_KEYS")
    if seen is not None and (head is None or head.sequence < seen.sequence):
        raise BrokenChainError(f"the chain has ended at {seen.text} before, and that is gone")
    if not rows:
        return Step(head, 0)
    now, key = deps.clock(), deps.keys.newest
    sequence, mac = (head.sequence, head.mac) if head else (0, GENESIS)
    seals = []
    for record in rows:
        sequence += 1
        put = chain.seal(record, sequence=sequence, previous=mac, key=key, salt=secrets.token_hex(16), sealed_at=now)
        mac = put.mac
        seals.append((record, put))
    after = chain.anchor(key, AnchorName.HEAD, sequence, mac, now)
    with writing(deps.database) as connection:
        if not store.move_anchor(connection, head, after):
            return Step(head, 0)
        store.put_seals(connection, seals)
    return Step(after, len(seals))


def seal_all(deps: AuditDeps) -> Anchor | None:
    """Seal what is committed by now; the end of the chain. Raises BrokenChainError, and store errors."""
    while True:
        step = seal(deps)
        if 0 < step.sealed < BATCH:
            return step.head
        with reading(deps.database) as connection:
            if not store.count_unsealed(connection):
                return store.anchor(connection, AnchorName.HEAD)


class Sealer:
    """A thread that seals. ``failed`` is called when it ends in a way that nobody foresaw."""

    def __init__(self, deps: AuditDeps, failed: Callable[[], None]) -> None:
        self._deps, self._failed = deps, failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sealer", daemon=True)
        self._head: Anchor | None = None
        self._told: tuple[datetime, Anchor] | None = None

    def start(self) -> None:
        """Begin to seal."""
        self._thread.start()

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stop.set()

    def turn(self) -> float:
        """Seal a batch; how long to pause then, in seconds. A store that is away is waited for."""
        try:
            step = seal(self._deps, self._head)
        except BrokenChainError as error:
            log.error("audit chain broken, nothing is sealed", cause=str(error))  # noqa: TRY400 - the trace says nothing
            return PAUSE_AFTER_FAILURE_SECONDS
        except (Unavailable, SQLAlchemyError) as error:
            log.warning("sealer waits", reason=type(error).__name__)
            return PAUSE_AFTER_FAILURE_SECONDS
        self._tell(step.head)
        self._head = step.head
        return 0.0 if step.sealed == BATCH else IDLE_SECONDS

    def _tell(self, head: Anchor | None) -> None:
        """Into the log, now and then: who can write to the rows cannot take back a line that has left the machine."""
        now = self._deps.clock()
        if head is None:
            return
        if self._told is None or (head != self._told[1] and now - self._told[0] >= ANCHOR_EVERY):
            log.info("audit anchor", anchor=head.text)
            self._told = now, head

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._stop.wait(self.turn())
        except Exception:
            log.exception("sealer failed")
            self._failed()
