"""What a restore makes void in auth: what was open, and the orders about it. after_restore.py says when.

Everything but ``withdraw_orders`` and ``order_again`` runs in the caller's transaction.
"""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from services.auth import reset_steps
from services.auth.deps import WorkerDeps
from services.auth.domain import restore_findings as findings
from services.auth.domain.identity_checks import CheckStatus
from services.auth.domain.reset import OPEN_STATUSES, EndedBecause, ReasonKind, Reset, Status
from services.auth.enrollment_words import owes_enrollment
from services.auth.limits import UNLOCK_APPROVAL_LIFE
from services.auth.models import BOX, accounts, devices, identity_checks, resets
from services.auth.store import accounts as account_store
from services.auth.store import enrollment_words, timeline, unlocks
from services.auth.store import resets as reset_store
from services.auth.store.timeline import SYSTEM, Entry
from shared.database import writing
from shared.messages import (
    AuthenticatorsSuspended,
    TwoFactorResetApprovalLapsed,
    TwoFactorResetApproved,
    TwoFactorResetCoolOffEnded,
)
from shared.restores import Finding, Restore

_USABLE = (CheckStatus.PENDING, CheckStatus.PASSED)
_RESET_ORDERS = (
    TwoFactorResetApproved.TYPE,
    TwoFactorResetCoolOffEnded.TYPE,
    TwoFactorResetApprovalLapsed.TYPE,
    AuthenticatorsSuspended.TYPE,
)


def end_all(connection: Connection, deps: WorkerDeps, restore: Restore, page: Sequence[str]) -> list[Finding]:
    """End what was open or trusted of these accounts, and return the findings."""
    found, now = [], deps.clock()
    live = (devices.c.account_id.in_(page), devices.c.revoked_at.is_(None))
    for account_id in _distinct(connection, devices.c.account_id, *live, devices.c.trusted_until > now):
        found.append(Finding(account_id, findings.TRUST_ENDED, {}))
        timeline.write(connection, account_id, Entry.DEVICES_REVOKED, now, actor=SYSTEM, after_restore=True)
    connection.execute(update(devices).where(*live).values(revoked_at=now))
    found += end_resets(connection, deps, restore, page, OPEN_STATUSES)
    checks = (identity_checks.c.account_id.in_(page), identity_checks.c.status.in_(_USABLE))
    connection.execute(update(identity_checks).where(*checks).values(status=CheckStatus.ENDED))
    waiting = (accounts.c.id.in_(page), accounts.c.pending_phone.is_not(None))
    found += [Finding(one, findings.PHONE_VOID, {}) for one in _distinct(connection, accounts.c.id, *waiting)]
    nothing = {"pending_phone": None, "pending_phone_binding": None}
    connection.execute(update(accounts).where(*waiting).values(nothing))
    enrollment_words.remove_all(connection, page)
    since = now - UNLOCK_APPROVAL_LIFE
    found += [Finding(one, findings.UNLOCK_VOID, {}) for one in unlocks.waiting(connection, page, since)]
    unlocks.void(connection, page, now, since)
    return found


def end_resets(
    connection: Connection, deps: WorkerDeps, restore: Restore, page: Sequence[str], statuses: Sequence[Status]
) -> list[Finding]:
    """End the resets of these accounts that have one of these statuses, and return the findings.

    What the resets name as stolen stays suspended, unless otp's database says that it was reinstated.
    """
    found, now = [], deps.clock()
    under_way = (resets.c.account_id.in_(page), resets.c.status.in_(statuses))
    for reset in _resets(connection, *under_way):
        account = account_store.by_id(connection, reset.account_id)
        if reset.status is Status.APPROVED and account is not None and not owes_enrollment(connection, account):
            # otp is asked later whether 2FA is gone all the same
            account_store.set_enrollment_prompt(connection, reset.account_id, prompted=False)
        # otp's database may be from before the suspension.
        is_suspended = reset_steps.suspend_stolen(connection, deps, reset, now, voided_by=restore.id)
        kind = findings.STOLEN_RESET_VOID if is_suspended else findings.RESET_VOID
        found.append(Finding(reset.account_id, kind, {"reset_id": reset.id}))
        facts = {"reset_id": reset.id, "because": EndedBecause.RESTORED}
        timeline.write(connection, reset.account_id, Entry.RESET_ENDED, now, actor=SYSTEM, **facts)
    ended = {"status": Status.ENDED, "ended_because": EndedBecause.RESTORED}
    connection.execute(update(resets).where(*under_way).values(ended))
    return found


def order_again(deps: WorkerDeps) -> None:
    """Repeat what stands about stolen authenticators, because otp's database may be from before it.

    What open resets name is suspended. What was suspended for a reset that has ended since is accepted again, unless a
    restore has ended that reset.
    """
    stolen = resets.c.reason_kind == ReasonKind.STOLEN
    ended = and_(resets.c.status == Status.ENDED, resets.c.ended_because != EndedBecause.RESTORED)
    over = or_(resets.c.status == Status.CANCELLED, ended)
    with writing(deps.database) as connection:
        for reset in _resets(connection, stolen, resets.c.status.in_(OPEN_STATUSES)):
            reset_steps.suspend_stolen(connection, deps, reset, deps.clock())
        for reset in _resets(connection, stolen, over):
            reset_steps.record_reinstated(connection, deps, reset, deps.clock())


def withdraw_orders(deps: WorkerDeps, restore: Restore) -> None:
    """Withdraw the unpublished orders of resets from before this restore, because their resets are void."""
    box = BOX.outbox.c
    stale = (box.published_at.is_(None), box.recorded_at < restore.begun_at)
    with writing(deps.database) as connection:
        for kind in _RESET_ORDERS:
            withdraw = update(BOX.outbox).where(*stale, box.document.like(f'%"{kind}"%'))
            connection.execute(withdraw.values(published_at=deps.clock()))


def count_open(connection: Connection, deps: WorkerDeps, page: Sequence[str]) -> Counter[str]:
    """Count what a restore would void: ``trusted`` and ``unlocks`` in accounts, each open status in resets."""
    now = deps.clock()
    live = (devices.c.account_id.in_(page), devices.c.revoked_at.is_(None), devices.c.trusted_until > now)
    under_way = (resets.c.account_id.in_(page), resets.c.status.in_(OPEN_STATUSES))
    counts = Counter[str](connection.execute(select(resets.c.status).where(*under_way)).scalars())
    counts["trusted"] = len(_distinct(connection, devices.c.account_id, *live))
    counts["unlocks"] = len(unlocks.waiting(connection, page, now - UNLOCK_APPROVAL_LIFE))
    return counts


def _resets(connection: Connection, *where: ColumnElement[bool]) -> list[Reset]:
    found = [reset_store.by_id(connection, one) for one in _distinct(connection, resets.c.id, *where)]
    return [reset for reset in found if reset is not None]


def _distinct(connection: Connection, column: ColumnElement[str], *where: ColumnElement[bool]) -> list[str]:
    return list(connection.execute(select(column).distinct().where(*where)).scalars())
