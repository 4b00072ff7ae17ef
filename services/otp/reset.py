"""Support's 2FA reset: otp suspends what was stolen, accepts it again, and removes what the reset names."""

import contextlib

import structlog
from redis.exceptions import RedisError

from services.otp import attempts_store, recovery_code_store, reset_store, sms_store
from services.otp.domain.purpose import SECOND_FACTOR_PURPOSES, Purpose
from services.otp.limits import UNLOCKED, durable_row
from services.otp.models import RESTORES
from services.otp.models import outbox as outbox_tables
from services.otp.worker_deps import WorkerDeps
from shared import budgets, journaling, outbox, restores
from shared.budgets import Charge
from shared.database import writing
from shared.ids import new_id
from shared.messages import (
    AuthenticatorsReinstated,
    AuthenticatorsSuspended,
    TwoFactorResetApplied,
    TwoFactorResetApproved,
    TwoFactorResetFoundNothing,
)

log = structlog.get_logger("otp.reset")


def apply(deps: WorkerDeps, approved: TwoFactorResetApproved) -> None:
    """Remove the authenticators that the reset names and no other, and report it, once for each message.

    Recovery codes, failures and live passcodes go only with an authenticator. Nothing changes in three cases:

    - None of the named ones is active, because the owner has enrolled anew since the request.
    - A code of the owner's was accepted after the approval. This message may come hours late.
    - A database was restored after the approval.

    Redis goes first and the commit last: when either fails, all of it is done again, and a message that comes once
    more, long after, touches nothing.
    """
    account_id, now = approved.account_id, deps.clock()
    with writing(deps.database) as connection:
        if not outbox.handle_once(connection, outbox_tables, approved.id, now):
            return
        is_void = restores.is_void(connection, RESTORES, approved)
        named = () if is_void else approved.authenticators
        factor = reset_store.accepted_since(connection, account_id, named, approved.ended_by, approved.occurred_at)
        revoked = 0 if factor is not None else reset_store.revoke_named(connection, account_id, named, now)
        if revoked == 0:
            ids = {"account_id": account_id, "reset_id": approved.reset_id}
            nothing = TwoFactorResetFoundNothing(id=new_id("evt"), occurred_at=now, factor=factor, **ids)
            outbox.record(connection, outbox_tables, nothing, deps.signer)
            log.warning("a reset removed nothing", accepted_since=factor, void_after_restore=is_void, **ids)
            return
        recovery_code_store.delete_recovery_codes(connection, account_id)
        attempts_store.clear(connection, account_id, now)
        sms_store.forget_account(deps.redis, account_id, frozenset(Purpose))
        budgets.clear(deps.redis, *(Charge(rate, account_id) for rate in UNLOCKED))
        # The time by now: a login that was completed with a code of before, a moment ago, is from before it, too.
        applied = TwoFactorResetApplied(
            id=new_id("evt"), occurred_at=deps.clock(), account_id=account_id, reset_id=approved.reset_id
        )
        outbox.record(connection, outbox_tables, applied, deps.signer)
    # Once more: a try between the two may have brought the count of before back to Redis. By now 2FA is off, so the
    # worst that is left when Redis fails here is a lock that support lifts.
    with contextlib.suppress(RedisError):
        budgets.clear(deps.redis, *(durable_row(row, account_id) for row in attempts_store.TALLIES))
    log.info("two-factor reset applied", account_id=account_id, reset_id=approved.reset_id, revoked=revoked)


def suspend(deps: WorkerDeps, stolen: AuthenticatorsSuspended) -> None:
    """Accept no six digits of this account until the reset is over; live texted codes end. Backup codes stay good.

    Where a restore has voided the reset, they are suspended for the restore and not for the reset. So an event of the
    reset that was recorded before the restore, and is delivered after it, does not reinstate them. Nothing changes
    where otp had reinstated them before the restore: the reset was over, and only auth's backup does not say so.
    """
    with writing(deps.database) as connection:
        # The two messages may arrive in either order, so a reinstatement claims the suspension as well.
        is_first = outbox.handle_once(connection, outbox_tables, _suspension(stolen.reset_id), deps.clock())
        if stolen.voided_by is not None:
            # If otp's database was restored, too, this claim is from its backup.
            is_over = outbox.was_handled_by(
                connection, outbox_tables, _reinstatement(stolen.reset_id), stolen.occurred_at
            )
            is_first = outbox.handle_once(connection, outbox_tables, stolen.id, deps.clock()) and not is_over
        if not is_first:
            return
        cause = stolen.voided_by or stolen.reset_id
        suspended = reset_store.suspend(connection, stolen.account_id, stolen.authenticators, cause)
        journaling.note(connection, stolen.account_id, stolen.TYPE, stolen.occurred_at)
        if suspended:
            sms_store.forget_account(deps.redis, stolen.account_id, SECOND_FACTOR_PURPOSES)
    log.info("authenticators suspended", account_id=stolen.account_id, reset_id=stolen.reset_id, suspended=suspended)


def reinstate(deps: WorkerDeps, over: AuthenticatorsReinstated) -> None:
    """The reset will not be applied: accept again what was suspended for it. A suspension that comes later is void."""
    with writing(deps.database) as connection:
        for claim in (_suspension(over.reset_id), _reinstatement(over.reset_id)):
            outbox.handle_once(connection, outbox_tables, claim, deps.clock())
        reset_store.reinstate(connection, over.account_id, over.reset_id)
        journaling.note(connection, over.account_id, over.TYPE, over.occurred_at)


def _suspension(reset_id: str) -> str:
    return f"suspension:{reset_id}"


def _reinstatement(reset_id: str) -> str:
    return f"reinstatement:{reset_id}"
