"""The state of an account's 2FA, turning it off, and lifting a lock."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from services.otp import (
    answer_store,
    attempts_store,
    enrollment,
    recovery_code_store,
    sessions_store,
    sms_store,
    store,
    throttle_store,
)
from services.otp.answer_store import Answer, Call
from services.otp.deps import Deps
from services.otp.domain.failure_row import FailureRow
from services.otp.domain.purpose import Purpose
from services.otp.domain.session_id import session_of
from services.otp.limits import HARD_STOP, STOP_FOR_STRANGERS, UNLOCKED
from services.otp.models import outbox as outbox_tables
from services.otp.store import ActiveAuthenticator
from shared import budgets, outbox
from shared.budgets import Charge
from shared.database import reading, writing
from shared.deadline import require_time
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

    ``locked``: six digits are not taken in new browsers; ``locked_everywhere``: nor in any other. Backup codes always
    are. ``strangers_failures``: those from browsers that the account does not know, which no success takes away.
    ``reset_needed``: an unlock would be refused. ``suspended``: what is on was stolen, and a reset of it is under way.
    """

    enabled: bool
    authenticators: list[ActiveAuthenticator]
    recovery_codes: RecoveryCodesView
    locked: bool
    locked_everywhere: bool
    consecutive_failures: int
    strangers_failures: int
    reset_needed: bool
    suspended: bool
    pending_until: datetime | None


def state(deps: Deps, account_id: str, session_id: str | None = None) -> TwoFactorState:
    """How things stand; an account that nothing is known of has 2FA off.

    With a session, also until when it may confirm an enrollment that it has begun.
    """
    with reading(deps.database) as connection:
        active = store.list_active(connection, account_id)
        remaining, created_at = recovery_code_store.count_recovery_codes(connection, account_id)
        read = attempts_store.read_failures(connection, account_id)
        until = None if active else enrollment.pending_until(connection, account_id, session_id, deps.clock())
    in_all, of_strangers = read.in_a_row[FailureRow.ALL], read.in_a_row[FailureRow.STRANGERS]
    return TwoFactorState(
        enabled=bool(active),
        authenticators=active,
        recovery_codes=RecoveryCodesView(remaining, created_at),
        locked=of_strangers >= STOP_FOR_STRANGERS or in_all >= HARD_STOP,
        locked_everywhere=in_all >= HARD_STOP,
        consecutive_failures=in_all,
        strangers_failures=of_strangers,
        reset_needed=in_all + read.lifted >= HARD_STOP,
        suspended=bool(active) and all(one.suspended for one in active),
        pending_until=until,
    )


def those_on(deps: Deps, account_ids: Collection[str]) -> frozenset[str]:
    """Those of these accounts whose 2FA is on, for a list; a suspended app is on, too."""
    with reading(deps.database) as connection:
        return store.those_on(connection, account_ids)


def disable(deps: Deps, account_id: str, session_id: str | None, *, only_repeat: bool = False) -> str | None:
    """Revoke the authenticator, wipe its secret and the recovery codes. Returns the id of the event that reports it.

    A repeat by the same session within a minute changes nothing. With ``only_repeat`` any other call is refused. Raises
    two_factor_off, two_factor_already_on, session_ended.
    """
    now = deps.clock()
    call = None if session_id is None else Call(account_id, session_id, "disable")
    with writing(deps.database) as connection:
        sessions_store.hold(connection, account_id, session_id)
        is_on = store.is_on(connection, account_id, hold=True)
        if only_repeat and is_on:
            raise Refusal("two_factor_already_on")
        if not is_on:
            kept = None if call is None else answer_store.find(deps.redis, deps.secret_box, call, now)
            if kept is None:
                raise Refusal("two_factor_off")
            return kept.event_id
        store.revoke_all(connection, account_id, now)
        recovery_code_store.delete_recovery_codes(connection, account_id)
        by = None if session_id is None else session_of(session_id)
        event = TwoFactorDisabled(id=new_id("evt"), occurred_at=now, account_id=account_id, session_id=by)
        outbox.record(connection, outbox_tables, event, deps.signer)
        # Before the commit: Redis down means that nothing was turned off, and the caller may simply try again.
        sms_store.forget_account(deps.redis, account_id, frozenset(Purpose))
        if call is not None:
            answer_store.keep(deps.redis, deps.secret_box, call, Answer(event_id=event.id), now)
        require_time()
    return event.id


def unlock(deps: Deps, account_id: str) -> None:
    """Support lifts the lock: no failures in SQL or Redis, and fresh windows. Idempotent.

    Failures that are still on their way to SQL are from before the unlock. SQL goes first, because Redis reads its
    count from SQL where it has none. When Redis is down, support gets 503 and repeats the call. Raises Refusal
    reset_needed at a hundred failures in a row.
    """
    deps.recorder.flush()
    with writing(deps.database) as connection:
        if not attempts_store.lift(connection, account_id, deps.clock()):
            raise Refusal("reset_needed")
    budgets.clear(deps.redis, *(Charge(rate, account_id) for rate in UNLOCKED))
    throttle_store.forget(deps.redis, account_id)
