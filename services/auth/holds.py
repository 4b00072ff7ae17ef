"""What holds an account out: which rows of passwords and codes are spent, until when, and what lifts each.

The owner and support see the same list, and support's unlock empties the rows of passwords that stand in it. A row of
codes that one device or one session has spent is not in it: it holds out nobody else.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from services.auth import limits, login, session_store
from services.auth.deps import Deps
from services.auth.domain.account import Account
from services.auth.domain.hold import Hold, LiftedBy, What
from services.auth.otp_client import Throttle, TwoFactorState
from services.auth.store import devices
from shared import budgets
from shared.budgets import Charge
from shared.database import reading

_CODES: Mapping[str, What] = {
    "login": What.CODES_LOGIN,
    "phone_verification": What.CODES_PHONE,
    "enrollment": What.CODES_ENROLLMENT,
}


def of_account(
    deps: Deps, account: Account, two_factor: TwoFactorState, throttles: Sequence[Throttle]
) -> tuple[Hold, ...]:
    """Everything that holds the account out just now. Raises RedisError."""
    until: dict[What, datetime] = {}
    now, rows = deps.clock(), password_rows(deps, account)
    for (what, _), seconds in zip(rows, budgets.waits(deps.redis, *(charge for _, charge in rows)), strict=True):
        if seconds:
            until[what] = max(until.get(what, now), now + timedelta(seconds=seconds))
    until |= {_CODES[one.purpose]: one.until for one in throttles if one.purpose in _CODES}
    waits = tuple(Hold(what, at, _lifted_by(what, two_factor)) for what, at in until.items())
    return (*_locks(two_factor), *waits)


def password_rows(deps: Deps, account: Account) -> list[tuple[What, Charge]]:
    """The account's budgets of passwords: also of each client that it knows, and of each open session."""
    with reading(deps.database) as connection:
        known = devices.ids(connection, account.id, deps.clock())
    open_sessions = [session.id for session in session_store.sessions_of(deps.redis, account.id)]
    return [
        (What.PASSWORDS_NEW, login.address_charge(deps, account.email)),
        *((What.PASSWORDS_STEP_UP, Charge(limits.REAUTHENTICATE, session_id)) for session_id in open_sessions),
        *((What.PASSWORDS_KNOWN, Charge(limits.LOGIN_KNOWN_DEVICE, device_id)) for device_id in known),
    ]


def _locks(two_factor: TwoFactorState) -> tuple[Hold, ...]:
    if two_factor.locked_everywhere:
        return (Hold(What.CODES_ALL, None, (*_backup_code(two_factor), LiftedBy.RESET)),)
    if not two_factor.locked:
        return ()
    helper = LiftedBy.RESET if two_factor.reset_needed else LiftedBy.SUPPORT
    own = LiftedBy.KNOWN_CLIENT, *_backup_code(two_factor), LiftedBy.OWNER_WORD, LiftedBy.NEW_PASSWORD
    return (Hold(What.CODES_NEW, None, (*own, helper)),)


def _lifted_by(what: What, two_factor: TwoFactorState) -> tuple[LiftedBy, ...]:
    is_open = what is What.PASSWORDS_NEW or (what is What.CODES_LOGIN and not two_factor.locked_everywhere)
    # A known client has rows of its own, so it goes on where new ones are held out; and no row of six digits refuses a
    # backup code. Support's unlock is refused as a whole where only a reset helps.
    known = (LiftedBy.KNOWN_CLIENT,) if is_open else ()
    backup_code = _backup_code(two_factor) if what is What.CODES_LOGIN else ()
    return (LiftedBy.TIME, *known, *backup_code, *(() if two_factor.reset_needed else (LiftedBy.SUPPORT,)))


def _backup_code(two_factor: TwoFactorState) -> tuple[LiftedBy, ...]:
    return (LiftedBy.BACKUP_CODE,) if two_factor.recovery_codes_remaining else ()
