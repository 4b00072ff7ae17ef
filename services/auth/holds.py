"""What holds an account out: which rows of passwords and codes are spent, until when, and what lifts each.

The owner and support see the same list, and support's unlock empties the rows of passwords that stand in it. A row of
codes that one device or one session has spent is not in it: it holds out nobody else.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from services.auth import guessing_brake, limits, login, session_store
from services.auth.deps import Deps
from services.auth.domain.account import Account
from services.auth.domain.hold import Held, Hold, lifted_by
from services.auth.otp_client import Throttle, TwoFactorState
from services.auth.store import devices
from shared import budgets
from shared.budgets import Charge
from shared.database import reading

_CODES: Mapping[str, Held] = {
    "login": Held.CODES_LOGIN,
    "phone_verification": Held.CODES_PHONE,
    "enrollment": Held.CODES_ENROLLMENT,
}


def of_account(
    deps: Deps, account: Account, two_factor: TwoFactorState, throttles: Sequence[Throttle]
) -> tuple[Hold, ...]:
    """Everything that holds the account out just now. Raises RedisError."""
    until: dict[Held, datetime] = {}
    now, rows = deps.clock(), password_rows(deps, account)
    for (what, _), seconds in zip(rows, budgets.waits(deps.redis, *(charge for _, charge in rows)), strict=True):
        if seconds:
            until[what] = max(until.get(what, now), now + timedelta(seconds=seconds))
    until |= {_CODES[one.purpose]: one.until for one in throttles if one.purpose in _CODES}
    if seconds := guessing_brake.wait_seconds(deps, account.id):
        until[Held.CODES_BRAKED] = now + timedelta(seconds=seconds)
    lifts = partial(
        lifted_by,
        has_backup_codes=bool(two_factor.recovery_codes_remaining),
        is_locked_everywhere=two_factor.locked_everywhere,
        is_reset_needed=two_factor.reset_needed,
    )
    held = {**dict.fromkeys(_locks(two_factor)), **until}
    return tuple(Hold(what, ends_at, lifts(what)) for what, ends_at in held.items())


def password_rows(deps: Deps, account: Account) -> list[tuple[Held, Charge]]:
    """The account's budgets of passwords: also of each client that it knows, and of each open session."""
    with reading(deps.database) as connection:
        known = devices.ids(connection, account.id, deps.clock())
    open_sessions = [session.id for session in session_store.sessions_of(deps.redis, account.id)]
    return [
        (Held.PASSWORDS_NEW, login.address_charge(deps, account.email)),
        *((Held.PASSWORDS_STEP_UP, Charge(limits.REAUTHENTICATE, session_id)) for session_id in open_sessions),
        *((Held.PASSWORDS_KNOWN, Charge(limits.LOGIN_KNOWN_DEVICE, device_id)) for device_id in known),
    ]


def _locks(two_factor: TwoFactorState) -> tuple[Held, ...]:
    if two_factor.locked_everywhere:
        return (Held.CODES_ALL,)
    return (Held.CODES_NEW,) if two_factor.locked else ()
