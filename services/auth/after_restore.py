"""What must happen to auth after its database, otp's, or Redis was set back to a backup. Runbook: docs/restore.md.

``begin``, before otp's part:

1. Every session and login ends, and every account's epoch rises beyond all that it has been.
2. The audit chain continues after the backup, by a signed statement (``audit.resume``).
3. The journal's changes since the backup are applied again, erasures too.
4. What was open is void (voided.py), and all trust in devices ends. Where otp alone was restored, approved resets are
   void. What was reported stolen stays suspended, and what a reset that has ended had suspended is accepted again.

``complete``, with otp's report:

5. Accounts whose 2FA is lost, or was revoked because the timeline says off, must enrol with a word.
6. The owners are told what concerns them.

No service of auth starts between the two (``restores.require_finished``), because until step 5 a password alone could
enrol. Each step may be done again. Step 1 is done once for each Redis, the others once for each restore.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from services.auth import audit, journaled, notices, session_clearing, voided
from services.auth.deps import WorkerDeps
from services.auth.domain import restore_findings as findings
from services.auth.domain.notice_texts import Kind, Phrase
from services.auth.domain.reset import OPEN_STATUSES, Status
from services.auth.models import RESTORES
from services.auth.models import accounts as accounts_table
from services.auth.sealer import AuditDeps, seal_all
from services.auth.store import accounts, timeline
from services.auth.store.timeline import SYSTEM, Entry
from shared import restores
from shared.database import reading, writing
from shared.journal import Entry as JournalEntry
from shared.restores import Finding, Restore

PAGE = 200
CLI = timeline.operator("cli")

MUST_ENROL: Mapping[str, Entry] = {findings.LOST: Entry.TWO_FACTOR_LOST, findings.REVOKED: Entry.TWO_FACTOR_REVOKED}
_TWO_FACTOR = (Entry.TWO_FACTOR_ENABLED, Entry.TWO_FACTOR_DISABLED, Entry.RESET_APPLIED)

Progress = Callable[[int], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """What was restored, and what the operator decided.

    ``passwords``: keep or void, where there is no journal. ``nobodys_hash``: the hash of a password that nobody knows.
    """

    backup_taken_at: datetime
    restored: frozenset[str]
    entries: Sequence[JournalEntry]
    passwords: str | None = None
    nobodys_hash: str = ""


def begin(deps: WorkerDeps, chain: AuditDeps, order: Order, progress: Progress) -> Restore:
    """Carry out steps 1 to 4. Raises store errors and BrokenChainError; a second call goes on."""
    with writing(deps.database) as connection:
        options = {"restored": sorted(order.restored), "passwords": order.passwords}
        restore = restores.begin(connection, RESTORES, order.backup_taken_at, options, deps.clock())
    _end_sessions(deps, restore, progress)
    if restore.finished_at is None and "auth" in order.restored:
        _resume_chain(deps, chain, order)
        _apply_journal(deps, chain, restore, order, progress)
        voided.withdraw_orders(deps, restore)
        for page in _accounts(deps):
            with writing(deps.database) as connection:
                found = voided.end_all(connection, deps, restore, page)
                found += _settle_passwords(connection, order, page)
                restores.find(connection, RESTORES, restore, found)
            progress(len(page))
        voided.order_again(deps)
        seal_all(chain)
    elif restore.finished_at is None and "otp" in order.restored:
        for page in _accounts(deps):
            with writing(deps.database) as connection:
                found = voided.end_resets(connection, deps, restore, page, [Status.APPROVED])
                restores.find(connection, RESTORES, restore, found)
            progress(len(page))
        voided.order_again(deps)
    if not restore.databases:
        with writing(deps.database) as connection:
            restores.finish(connection, RESTORES, restore, deps.clock())
    return restore


def complete(
    deps: WorkerDeps,
    chain: AuditDeps,
    restore: Restore,
    found: Sequence[Finding],
    progress: Progress,
    other_restore: str | None = None,
) -> list[Finding]:
    """Carry out steps 5 and 6; all findings of this restore. Raises store errors and BrokenChainError.

    ``other_restore``: the id of otp's restore, whose report ``found`` is.
    """
    if restore.finished_at is None:
        with writing(deps.database) as connection:
            restores.note_other(connection, RESTORES, restore, other_restore)
            restores.find(connection, RESTORES, restore, found)
        for page in _accounts(deps):
            with writing(deps.database) as connection:
                _tell(connection, deps, restore, page)
            progress(len(page))
        with writing(deps.database) as connection:
            restores.finish(connection, RESTORES, restore, deps.clock())
        seal_all(chain)
    with reading(deps.database) as connection:
        return [one for one in restores.findings(connection, RESTORES, restore) if one.kind != findings.TOLD]


def survey(deps: WorkerDeps, order: Order) -> Iterator[str]:
    """What begin would do, in words; nothing is changed."""
    counts: Counter[str] = Counter()
    with reading(deps.database) as connection:
        done = restores.of_backup(connection, RESTORES, order.backup_taken_at)
        if done is not None and done.is_finished_for(order.restored):
            yield restores.FINISHED
            return
        for page in _accounts(deps):
            counts["accounts"] += len(page)
            counts += voided.count_open(connection, deps, page)
    yield f"accounts whose sessions and logins end: {counts['accounts']}"
    if "auth" in order.restored:
        for kind, changes in sorted(Counter(entry.kind for entry in order.entries).items()):
            yield f"apply from the journal: {changes} x {kind}"
        yield f"accounts whose trusted devices end: {counts['trusted']}"
        yield f"resets under way that are cancelled: {sum(counts[status] for status in OPEN_STATUSES)}"
        yield f"accounts whose unlock waits for a second operator and is void: {counts['unlocks']}"
        yield "pending phones and enrolment words: void"
        yield f"passwords of the backup: {order.passwords or 'as the journal says'}"
    elif "otp" in order.restored:
        yield f"approved resets that are cancelled: {counts[Status.APPROVED]}"


def two_factor_by_timeline(deps: WorkerDeps) -> Iterator[dict[str, Any]]:
    """What the timeline says of each account's 2FA, for otp."""
    for page in _accounts(deps):
        with reading(deps.database) as connection:
            newest = timeline.newest_of(connection, page, _TWO_FACTOR)
        for account_id, (entry, at) in newest.items():
            word = "on" if entry is Entry.TWO_FACTOR_ENABLED else "off"
            yield {"account_id": account_id, "two_factor": word, "at": at}


def _end_sessions(deps: WorkerDeps, restore: Restore, progress: Progress) -> None:
    if session_clearing.is_cleared(deps.redis, restore.id):
        return
    session_clearing.clear(deps.redis)
    for page in _accounts(deps):
        session_clearing.raise_epochs(deps.redis, page, deps.clock())
        progress(len(page))
    session_clearing.note_cleared(deps.redis, restore.id)


def _resume_chain(deps: WorkerDeps, chain: AuditDeps, order: Order) -> None:
    with writing(deps.database) as connection:
        restored = audit.resume(chain, connection, order.backup_taken_at)
        if restored is not None:
            facts: dict[str, Any] = {
                "backup_taken_at": restored.backup_taken_at.isoformat(),
                "chain_ended_at": restored.sequence,
                "restored": sorted(order.restored),
            }
            timeline.write(connection, None, Entry.RESTORED, restored.at, actor=CLI, **facts)


def _apply_journal(deps: WorkerDeps, chain: AuditDeps, restore: Restore, order: Order, progress: Progress) -> None:
    erased: dict[str, None] = {}
    entries = [entry for entry in order.entries if entry.kind in journaled.JOURNALED]
    for page in _pages(entries):
        with writing(deps.database) as connection:
            for entry in page:
                fits = journaled.put_back(connection, entry)
                kind = findings.CHANGED_AGAIN if fits else findings.NOT_CHANGED_AGAIN
                restores.find(connection, RESTORES, restore, [Finding(entry.account_id, kind, {})])
        # Again, because accounts that were created after the backup did not exist when all epochs rose.
        session_clearing.raise_epochs(deps.redis, list({entry.account_id for entry in page}), deps.clock())
        progress(len(page))
        erased |= dict.fromkeys(entry.account_id for entry in page if entry.kind == Entry.PERSONAL_DATA_ERASED)
    for account_id in erased:
        audit.erase(chain, account_id, progress)


def _settle_passwords(connection: Connection, order: Order, page: Sequence[str]) -> list[Finding]:
    """Do what the operator has decided about the passwords of these accounts, where there is no journal."""
    if order.passwords is None:
        return []
    if order.passwords == "void":
        accounts.void_passwords(connection, page, order.nobodys_hash)
    kind = findings.PASSWORD_VOID if order.passwords == "void" else findings.PASSWORD_OLD
    return [Finding(one, kind, {}) for one in page]


def _tell(connection: Connection, deps: WorkerDeps, restore: Restore, page: Sequence[str]) -> None:
    """Make the accounts enrol whose 2FA is lost or revoked, and tell each owner once."""
    found: dict[str, list[str]] = {}
    for one in restores.findings(connection, RESTORES, restore, page):
        found.setdefault(one.account_id, []).append(one.kind)
    now = deps.clock()
    for account_id, kinds in found.items():
        account = accounts.by_id(connection, account_id)
        if account is None or findings.TOLD in kinds:
            continue
        for kind, entry in MUST_ENROL.items():
            if kind in kinds:
                accounts.set_enrollment_prompt(connection, account_id, prompted=True)
                timeline.write(connection, account_id, entry, now, actor=SYSTEM)
        sentences = tuple(f"restored_{kind}" for kind in findings.TOLD_TO_OWNERS if kind in kinds)
        if sentences:
            # By email only, because a text for each account would use up the daily cap that codes need.
            what = Phrase(sentences, is_list=True)
            told = replace(account, phone=None)
            notices.tell(connection, deps, told, Kind.RESTORED, now, taken_at=restore.backup_taken_at, what=what)
        restores.find(connection, RESTORES, restore, [Finding(account_id, findings.TOLD, {})])


def _accounts(deps: WorkerDeps) -> Iterator[list[str]]:
    """All accounts' ids, page by page."""
    last, ids = "", accounts_table.c.id
    while True:
        with reading(deps.database) as connection:
            page = list(connection.execute(select(ids).where(ids > last).order_by(ids).limit(PAGE)).scalars())
        if not page:
            return
        yield page
        last = page[-1]


def _pages(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while page := list(islice(iterator, PAGE)):
        yield page
