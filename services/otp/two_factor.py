"""The state of an account's 2FA, turning it off, and lifting a lock."""

from dataclasses import dataclass
from datetime import datetime

from services.otp import attempts_store, sms_store, store, throttle_store
from services.otp.deps import Deps
from services.otp.domain.purpose import SECOND_FACTOR_PURPOSES
from services.otp.limits import HARD_STOP, STOP_FOR_STRANGERS_DIGITS, UNLOCKED
from services.otp.models import outbox as outbox_tables
from services.otp.store import ActiveAuthenticator
from shared import budgets, outbox
from shared.budgets import Charge
from shared.database import reading, writing
from shared.ids import new_id
from shared.messages import TwoFactorDisabled
from shared.problems import Refusal


@dataclass(frozen=True, slots=True)
class RecoveryCodesView:
    """How many codes are left of the sheet, and when it was made."""

    remaining: int
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class TwoFactorState:
    """All that auth shows of it.

    ``locked``: in new browsers at least, six digits are not taken; ``locked_everywhere``: no code is, anywhere.
    """

    enabled: bool
    authenticators: list[ActiveAuthenticator]
    recovery_codes: RecoveryCodesView
    locked: bool
    locked_everywhere: bool
    consecutive_failures: int


def state(deps: Deps, account_id: str) -> TwoFactorState:
    """How things stand; an account that nothing is known of has 2FA off."""
    with reading(deps.database) as connection:
        active = store.list_active(connection, account_id)
        remaining, created_at = store.count_recovery_codes(connection, account_id)
        failures = attempts_store.read_failures(connection, account_id)
    return TwoFactorState(
        enabled=bool(active),
        authenticators=active,
        recovery_codes=RecoveryCodesView(remaining, created_at),
        locked=failures >= STOP_FOR_STRANGERS_DIGITS,
        locked_everywhere=failures >= HARD_STOP,
        consecutive_failures=failures,
    )


def disable(deps: Deps, account_id: str, session_id: str | None) -> None:
    """Revoke the authenticator, wipe its secret and the recovery codes. Raises two_factor_off."""
    now = deps.clock()
    with writing(deps.database) as connection:
        if store.revoke_all(connection, account_id, now) == 0:
            raise Refusal("two_factor_off")
        store.delete_recovery_codes(connection, account_id)
        event = TwoFactorDisabled(id=new_id("evt"), occurred_at=now, account_id=account_id, session_id=session_id)
        outbox.record(connection, outbox_tables, event)
        # Before the commit: Redis down means that nothing was turned off, and the caller may simply try again.
        sms_store.forget_account(deps.redis, account_id, SECOND_FACTOR_PURPOSES)


def unlock(deps: Deps, account_id: str) -> None:
    """Support lifts the lock: no failures in SQL or Redis, and fresh windows. Idempotent.

    What is on its way to SQL came before. SQL goes first, for where Redis has no count it asks SQL; when Redis is down
    support hears 503, and does it again.
    """
    deps.recorder.flush()
    with writing(deps.database) as connection:
        attempts_store.clear(connection, account_id, deps.clock())
    budgets.clear(deps.redis, *(Charge(rate, account_id) for rate in UNLOCKED))
    throttle_store.forget(deps.redis, account_id)
