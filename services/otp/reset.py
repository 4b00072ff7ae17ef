"""Support's 2FA reset, carried out: otp's part of the event flow."""

import contextlib

import structlog
from redis.exceptions import RedisError

from services.otp import attempts_store, sms_store, store
from services.otp.domain.purpose import Purpose
from services.otp.limits import UNLOCKED, consecutive_failures
from services.otp.models import outbox as outbox_tables
from services.otp.worker_deps import WorkerDeps
from shared import budgets, outbox
from shared.budgets import Charge
from shared.database import writing
from shared.ids import new_id
from shared.messages import TwoFactorResetApplied, TwoFactorResetApproved

log = structlog.get_logger("otp.reset")


def apply(deps: WorkerDeps, approved: TwoFactorResetApproved) -> None:
    """Wipe authenticators, recovery codes, failures and live passcodes, and report it, once for each message.

    Redis goes first and the commit last: when either fails, all of it is done again, and a message that comes once
    more, long after, touches nothing.
    """
    account_id, now = approved.account_id, deps.clock()
    with writing(deps.database) as connection:
        if not outbox.handle_once(connection, outbox_tables, approved.id, now):
            return
        revoked = store.revoke_all(connection, account_id, now)
        store.delete_recovery_codes(connection, account_id)
        attempts_store.clear(connection, account_id, now)
        sms_store.forget_account(deps.redis, account_id, frozenset(Purpose))
        budgets.clear(deps.redis, *(Charge(rate, account_id) for rate in UNLOCKED))
        # The time by now: a login that was completed with a code of before, a moment ago, is from before it, too.
        applied = TwoFactorResetApplied(
            id=new_id("evt"), occurred_at=deps.clock(), account_id=account_id, reset_id=approved.reset_id
        )
        outbox.record(connection, outbox_tables, applied)
    # Once more: a try between the two may have brought the count of before back to Redis. By now 2FA is off, so the
    # worst that is left when Redis fails here is a lock that support lifts.
    with contextlib.suppress(RedisError):
        budgets.clear(deps.redis, consecutive_failures(account_id))
    log.info("two-factor reset applied", account_id=account_id, reset_id=approved.reset_id, revoked=revoked)
