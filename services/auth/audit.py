"""What operators do with the audit chain: verify, export, prune, erase. Each walks in pages and tells how far it is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection

from services.auth.domain import chain
from services.auth.domain.chain import Anchor, AnchorName, Restored, Sealed
from services.auth.domain.chain_check import Checker, Fault
from services.auth.sealer import AuditDeps, BrokenChainError, seal_all
from services.auth.store import accounts, timeline
from services.auth.store import chain as store
from services.auth.store.timeline import Entry
from shared.database import reading, snapshot, writing

PAGE = 500

Progress = Callable[[int], None]  # told how many rows were done since the last call


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk through the whole chain found: the first ``FAULTS_SHOWN`` faults, and what is right."""

    faults: list[Fault]
    rows: int
    erased: int
    unsealed: int
    checkpoint: Anchor | None
    head: Anchor | None
    restores: list[Restored]
    explained: int


FAULTS_SHOWN = 20


def length(deps: AuditDeps) -> int:
    """How many rows a walk has to look at, about."""
    with reading(deps.database) as connection:
        return store.count_sealed(connection)


def verify(deps: AuditDeps, anchors: Mapping[int, str], progress: Progress) -> Verdict:
    """Check every sealed row, as it stood in one moment. Raises store errors."""
    with snapshot(deps.database) as connection:
        checkpoint, head = store.anchor(connection, AnchorName.CHECKPOINT), store.anchor(connection, AnchorName.HEAD)
        pruned = checkpoint.sequence if checkpoint else 0
        kept = {sequence: mac for sequence, mac in anchors.items() if sequence >= pruned}
        restores = [one for one in store.restores(connection) if one.resumes_at > pruned]
        checker = Checker(deps.keys, checkpoint, store.erasures(connection), kept, restores)
        faults: list[Fault] = list(checker.begin())
        # From the very first: what should be pruned and is there does not belong there.
        for page in store.pages(connection, 0, PAGE):
            for row in page:
                faults += checker.take(row)
            progress(len(page))
            if len(faults) > FAULTS_SHOWN:
                break
        else:
            faults += checker.end(head)
        unsealed = store.count_unsealed(connection)
    shown = faults[:FAULTS_SHOWN]
    return Verdict(shown, checker.rows, checker.erased, unsealed, checkpoint, head, restores, checker.explained)


def export(
    deps: AuditDeps, since: datetime, until: datetime | None, account_id: str | None, progress: Progress
) -> Iterator[Sealed]:
    """The sealed rows of things that happened from ``since`` to before ``until``, in the order of the chain."""
    with snapshot(deps.database) as connection:
        for page in store.pages(connection, 0, PAGE):
            for row in page:
                wanted = row.record.at >= since and (until is None or row.record.at < until)
                if wanted and account_id in {None, row.record.account_id}:
                    yield row
            progress(len(page))


def document(row: Sealed) -> dict[str, Any]:
    """A row as it is exported. Without the salt: an export must not be what makes an erasure worthless."""
    record, seal = row.record, row.seal
    return {
        "sequence": seal.sequence,
        "id": record.id,
        "account_id": record.account_id,
        "at": record.at,
        "type": record.type,
        "actor": record.actor,
        "details": record.details,
        "ip": record.ip,
        "personal": record.personal,
        "erased": row.erased,
        "position": record.position,
        "sealed_at": seal.sealed_at,
        "commitment": seal.commitment,
        "key_id": seal.key_id,
        "mac": seal.mac,
    }


def prune(deps: AuditDeps, older_than: timedelta, progress: Progress) -> Anchor | None:
    """Delete from the front what is older, up to the first row that is not; the checkpoint that stays in its place.

    Each batch is one transaction with its checkpoint, so an interrupted run leaves a chain that verifies, and the next
    one goes on. A row counts by when it happened, or by its sealing if that came first: a clock that was ahead once
    must not keep everything behind it for ever. Raises BrokenChainError at a row that is not as it was sealed, which is
    evidence; and store errors.
    """
    before = deps.clock() - older_than
    while True:
        with reading(deps.database) as connection:
            checkpoint = store.anchor(connection, AnchorName.CHECKPOINT)
            page = store.sealed_behind(connection, checkpoint.sequence if checkpoint else 0, PAGE)
            checker = Checker(deps.keys, checkpoint, store.erasures(connection), None, store.restores(connection))
        old = list(takewhile(lambda row: min(row.record.at, row.seal.sealed_at) < before, page))
        if not old:
            return checkpoint
        faults = [*checker.begin(), *(fault for row in old for fault in checker.take(row))]
        if faults:
            raise BrokenChainError(str(faults[0]))
        newest = old[-1].seal
        after = chain.anchor(deps.keys.newest, AnchorName.CHECKPOINT, newest.sequence, newest.mac, deps.clock())
        with writing(deps.database) as connection:
            if not store.move_anchor(connection, checkpoint, after):
                raise BrokenChainError("another pruning is under way")
            store.delete_through(connection, after)
        progress(len(old))


def resume(deps: AuditDeps, connection: Connection, backup_taken_at: datetime) -> Restored | None:
    """Let the chain go on behind a restore, in the caller's transaction; None when it does already.

    Raises BrokenChainError for a head that is not ours, because a restore must not hide a broken chain.
    """
    if any(one.backup_taken_at == backup_taken_at for one in store.restores(connection)):
        return None
    now, key = deps.clock(), deps.keys.newest
    head = store.anchor(connection, AnchorName.HEAD)
    if head is None and store.has_seals(connection):
        raise BrokenChainError("the head is gone")
    if head is not None and not chain.is_genuine(deps.keys, head):
        raise BrokenChainError("the head is not signed by a key of AUTH_AUDIT_KEYS")
    sequence, mac = (head.sequence, head.mac) if head else (0, chain.GENESIS)
    ended = min(sequence, store.newest_sealed_by(connection, backup_taken_at))
    restored = chain.restored(key, sequence, mac, backup_ended_at=ended, backup_taken_at=backup_taken_at, at=now)
    end = chain.anchor(key, AnchorName.HEAD, restored.resumes_at - 1, restored.signature, now)
    if not store.move_anchor(connection, head, end):
        raise BrokenChainError("a worker seals at this moment; stop the stack")
    store.record_restore(connection, restored)
    return restored


def erase(deps: AuditDeps, account_id: str, progress: Progress) -> int | None:
    """Erase the personal data of one person from every row up to now; how many rows held some, or None: nobody.

    These are the rows of the account, and those of others on whom it acted (as operator, as a team's owner), where the
    IP is its own. A second run finishes what was interrupted. Raises BrokenChainError, and store errors.
    """
    now = deps.clock()
    with reading(deps.database) as connection:
        if accounts.by_id(connection, account_id) is None:
            return None
    head = seal_all(deps)
    through = head.sequence if head else 0
    with writing(deps.database) as connection:
        timeline.write(connection, account_id, Entry.PERSONAL_DATA_ERASED, now, actor=timeline.operator("cli"))
        store.record_erasure(connection, chain.erasure(deps.keys.newest, account_id, through, now))
    erased, last = 0, -1
    while True:
        with reading(deps.database) as connection:
            page = store.personal_rows(connection, last, PAGE)
        if not page:
            return erased
        last = page[-1].position
        found = [
            row.position
            for row in page
            if row.salt is not None
            and row.sequence is not None
            and row.sequence <= through
            and account_id in chain.people_in(row.account_id, row.actor)
        ]
        if found:
            with writing(deps.database) as connection:
                store.erase(connection, found)
            erased += len(found)
        progress(len(page))
