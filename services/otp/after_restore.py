"""What must happen to otp after its database, auth's, or Redis was set back to a backup. Runbook: docs/restore.md.

1. What was open is void: texted codes, pending enrolments, and the codes that a repeat could use again.
2. The count of failures in a row is the higher one of SQL and Redis.
3. The journal's changes since the backup are applied again. Authenticators under a key that the operator says is lost
   are revoked.
4. Time steps up to now are used up: a code that was accepted after the backup is not accepted again.
5. Backup codes issued before the backup are kept or voided, as the operator says. Those that the journal knows as
   spent stay spent.
6. The two databases are compared. What auth's timeline says was turned off, reset or replaced is revoked. Accounts
   whose 2FA is gone, although the timeline does not say why, are listed.

Each step may be done again. Step 1 is done once for each Redis, the others once for each restore.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, delete, func, select, update

from services.otp import attempts_store, journaled, sealed_store
from services.otp.domain.reconciliation import Conflict, Held, Told, compare
from services.otp.domain.time_step import step_at
from services.otp.domain.totp import VALIDATION_WINDOW
from services.otp.limits import durable_row
from services.otp.models import ACTIVE, PENDING, RESTORES, REVOKED, authenticators, recovery_codes
from services.otp.restore_keys import lacking
from services.otp.worker_deps import WorkerDeps
from shared import restores
from shared.clock import unix_seconds
from shared.database import reading, writing
from shared.journal import Entry
from shared.redis_sweep import sweep
from shared.restores import Finding, Restore

PAGE = 200
# These keys protect everybody (pauses, throttles), and an old value does no harm.
KEPT_IN_REDIS = ("otp:sms-paused", "otp:sms-verified", "otp:throttled", "otp:after-restore")
CODES_KEPT, CODES_VOID = "recovery_codes_kept", "recovery_codes_void"

Progress = Callable[[int], None]
T = TypeVar("T")

_a, _r = authenticators.c, recovery_codes.c


@dataclass(frozen=True, slots=True)
class Order:
    """What was restored, and what the operator decided. ``entries``: the journal's, from the backup on.

    ``other_restore``: the id of the restore that auth's report is about. ``lost_keys``: the ids of keys of the secrets
    at rest that nobody has any more.
    """

    backup_taken_at: datetime
    restored: frozenset[str]
    keep_recovery_codes: bool
    entries: Sequence[Entry]
    told: Mapping[str, Told]
    other_restore: str | None = None
    lost_keys: frozenset[str] = frozenset()


def lacking_keys(deps: WorkerDeps, order: Order, key_ids: Collection[str]) -> Mapping[str, int]:
    """Which keys of the secrets at rest carry_out needs that are not in ``key_ids``; how many accounts need each.

    Nothing where carry_out leaves otp's database as it is.
    """
    with reading(deps.database) as connection:
        done = restores.of_backup(connection, RESTORES, order.backup_taken_at)
        is_done = done is not None and done.is_finished_for(order.restored)
        return {} if is_done or "otp" not in order.restored else lacking(connection, order.entries, key_ids)


def carry_out(deps: WorkerDeps, order: Order, progress: Progress) -> list[Finding]:
    """Carry out all steps; the findings by account. Raises store errors; a second call goes on."""
    with writing(deps.database) as connection:
        options = {
            "restored": sorted(order.restored),
            "keep_recovery_codes": order.keep_recovery_codes,
            restores.OTHER: order.other_restore,
        }
        restore = restores.begin(connection, RESTORES, order.backup_taken_at, options, deps.clock())
    _void_in_redis(deps, restore)
    # Redis alone may be put back while a database's restore is unfinished. It does not finish that one.
    if restore.finished_at is None and order.restored.issuperset(restore.unfinished_databases):
        _level_failures(deps)
        if "otp" in order.restored:
            _apply_journal(deps, order.entries, progress)
            _revoke_under(deps, order.lost_keys)
            _void_and_refuse(deps, progress)
            _settle_recovery_codes(deps, restore, order, progress)
        if order.restored & {"auth", "otp"}:
            _reconcile(deps, restore, order, progress)
        with writing(deps.database) as connection:
            restores.finish(connection, RESTORES, restore, deps.clock())
    with reading(deps.database) as connection:
        return restores.findings(connection, RESTORES, restore)


def survey(deps: WorkerDeps, order: Order) -> Iterator[str]:
    """What carry_out would do, in words; nothing is changed."""
    with reading(deps.database) as connection:
        done = restores.of_backup(connection, RESTORES, order.backup_taken_at)
        if done is not None and done.is_finished_for(order.restored):
            yield restores.FINISHED
            return
        active = connection.execute(select(func.count()).where(_a.status == ACTIVE)).scalar_one()
        pending = connection.execute(select(func.count()).where(_a.status == PENDING)).scalar_one()
        old = (_r.created_at <= order.backup_taken_at, _r.spent_at.is_(None))
        codes = connection.execute(select(func.count()).where(*old)).scalar_one()
        conflicts = Counter(_compared(connection, order, _to_compare(connection, order)).values())
    for kind, changes in sorted(Counter(entry.kind for entry in order.entries).items()):
        yield f"apply from the journal: {changes} x {kind}"
    yield "texted codes, sealed texts and what was accepted a moment ago: void"
    if "otp" in order.restored:
        yield f"authenticators whose time steps up to now are refused: {active}"
        yield f"pending enrolments that are deleted: {pending}"
        yield f"backup codes of before the backup that are {'kept' if order.keep_recovery_codes else 'void'}: {codes}"
    if not order.entries:
        for conflict in Conflict:
            yield f"{conflict}: {conflicts[conflict]} accounts"


def _void_in_redis(deps: WorkerDeps, restore: Restore) -> None:
    """Delete what Redis held, once for this Redis. A Redis that is restored once more has lost the mark, too."""
    mark = f"otp:after-restore:{restore.id}"
    if deps.redis.exists(mark):
        return
    sweep(deps.redis, "otp:*", keep=KEPT_IN_REDIS)
    sweep(deps.redis, "notify:sealed:*")
    deps.redis.set(mark, 1, ex=timedelta(days=30))


def _level_failures(deps: WorkerDeps) -> None:
    """Each row of failures is the higher one of SQL's and Redis's. Redis asks SQL for it at the next try."""
    for row in attempts_store.TALLIES:
        prefix = durable_row(row, "").keys()[0]
        for keys in _pages(deps.redis.scan_iter(match=f"{prefix}*", count=1000)):
            counts = dict(zip(keys, deps.redis.mget(keys), strict=True))
            rows = [
                (key.removeprefix(prefix), int(count), deps.clock()) for key, count in counts.items() if int(count or 0)
            ]
            with writing(deps.database) as connection:
                attempts_store.raise_failures(connection, rows, row)
            deps.redis.delete(*keys)


def _apply_journal(deps: WorkerDeps, entries: Sequence[Entry], progress: Progress) -> None:
    for page in _pages(entry for entry in entries if entry.kind in journaled.JOURNALED):
        with writing(deps.database) as connection:
            for entry in page:
                journaled.put_back(connection, entry)
        progress(len(page))


def _revoke_under(deps: WorkerDeps, key_ids: Iterable[str]) -> None:
    """Revoke what is sealed under these keys. Step 6 lists the accounts."""
    for key_id in key_ids:
        with reading(deps.database) as connection:
            accounts = sealed_store.active_under(connection, key_id)
        for page in _pages(accounts):
            with writing(deps.database) as connection:
                _revoke(connection, page, deps.clock())


def _void_and_refuse(deps: WorkerDeps, progress: Progress) -> None:
    now = deps.clock()
    last = step_at(unix_seconds(now)) + VALIDATION_WINDOW
    with writing(deps.database) as connection:
        connection.execute(delete(authenticators).where(_a.status == PENDING))
    for page in _accounts(deps):
        theirs = _a.account_id.in_(page)
        with writing(deps.database) as connection:
            used = update(authenticators).where(theirs, _a.last_accepted_step < last)
            connection.execute(used.values(last_accepted_step=last))
            connection.execute(update(authenticators).where(theirs).values(last_accepted_for=None))
            spent = update(recovery_codes).where(_r.account_id.in_(page), _r.spent_for.is_not(None))
            connection.execute(spent.values(spent_for=None))
        progress(len(page))


def _settle_recovery_codes(deps: WorkerDeps, restore: Restore, order: Order, progress: Progress) -> None:
    old = (_r.created_at <= order.backup_taken_at, _r.spent_at.is_(None))
    kind = CODES_KEPT if order.keep_recovery_codes else CODES_VOID
    for page in _accounts(deps):
        with writing(deps.database) as connection:
            holders = _r.account_id.in_(page)
            count = select(_r.account_id, func.count()).where(holders, *old).group_by(_r.account_id)
            found = [Finding(account, kind, {"codes": codes}) for account, codes in connection.execute(count)]
            restores.find(connection, RESTORES, restore, found)
            if not order.keep_recovery_codes:
                connection.execute(delete(recovery_codes).where(holders, _r.created_at <= order.backup_taken_at))
        progress(len(page))


def _reconcile(deps: WorkerDeps, restore: Restore, order: Order, progress: Progress) -> None:
    with reading(deps.database) as connection:
        accounts = _to_compare(connection, order)
    for page in _pages(accounts):
        with writing(deps.database) as connection:
            conflicts = _compared(connection, order, page)
            findings = [Finding(account, kind, {}) for account, kind in conflicts.items() if kind is not None]
            restores.find(connection, RESTORES, restore, findings)
            _revoke(connection, [one.account_id for one in findings if one.kind == Conflict.REVOKED], deps.clock())
        progress(len(page))


def _to_compare(connection: Connection, order: Order) -> list[str]:
    """The accounts that auth's timeline knows, and those whose authenticator was revoked since the backup."""
    revoked = select(_a.account_id).distinct().where(_a.revoked_at > order.backup_taken_at)
    return list(dict.fromkeys((*order.told, *connection.execute(revoked).scalars())))


def _compared(connection: Connection, order: Order, accounts: Sequence[str]) -> dict[str, Conflict | None]:
    held, nothing, taken_at = _held(connection, accounts), Held(None, None), order.backup_taken_at
    return {name: compare(order.told.get(name), held.get(name, nothing), taken_at) for name in accounts}


def _held(connection: Connection, accounts: Sequence[str]) -> dict[str, Held]:
    active = func.max(_a.confirmed_at, type_=_a.confirmed_at.type).filter(_a.status == ACTIVE)
    revoked = func.max(_a.revoked_at, type_=_a.revoked_at.type)
    query = select(_a.account_id, active, revoked).where(_a.account_id.in_(accounts)).group_by(_a.account_id)
    return {account: Held(since, until) for account, since, until in connection.execute(query)}


def _revoke(connection: Connection, accounts: Sequence[str], now: datetime) -> None:
    mine = (_a.account_id.in_(accounts), _a.status == ACTIVE)
    values = {"status": REVOKED, "revoked_at": now, "key_id": None, "ciphertext": None}
    connection.execute(update(authenticators).where(*mine).values(values))
    connection.execute(delete(recovery_codes).where(_r.account_id.in_(accounts)))


def _accounts(deps: WorkerDeps) -> Iterator[list[str]]:
    """All that have, or had, an authenticator, page by page."""
    last = ""
    while True:
        query = select(_a.account_id).distinct().where(_a.account_id > last).order_by(_a.account_id).limit(PAGE)
        with reading(deps.database) as connection:
            page = list(connection.execute(query).scalars())
        if not page:
            return
        yield page
        last = page[-1]


def _pages(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while page := list(islice(iterator, PAGE)):
        yield page
