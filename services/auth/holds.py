"""What holds an account out: which rows of passwords and codes are spent, until when, and what lifts each.

The owner and support see the same list, and support's unlock empties the rows of passwords that stand in it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from services.auth import limits, login
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
    "step_up": What.CODES_STEP_UP,
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
    """The account's budgets of passwords; each client that it knows has one."""
    with reading(deps.database) as connection:
        known = devices.ids(connection, account.id)
    return [
        (What.PASSWORDS_NEW, login.address_charge(deps, account.email)),
        (What.PASSWORDS_STEP_UP, Charge(limits.REAUTHENTICATE, account.id)),
        *((What.PASSWORDS_KNOWN, Charge(limits.LOGIN_KNOWN_DEVICE, device_id)) for device_id in known),
    ]


def _locks(two_factor: TwoFactorState) -> tuple[Hold, ...]:
    if two_factor.locked_everywhere:
        return (Hold(What.CODES_ALL, None, (LiftedBy.RESET,)),)
    if not two_factor.locked:
        return ()
    helper = LiftedBy.RESET if two_factor.reset_needed else LiftedBy.SUPPORT
    return (Hold(What.CODES_NEW, None, (LiftedBy.KNOWN_CLIENT, helper)),)


def _lifted_by(what: What, two_factor: TwoFactorState) -> tuple[LiftedBy, ...]:
    is_open = what is What.PASSWORDS_NEW or (what is What.CODES_LOGIN and not two_factor.locked_everywhere)
    known = (LiftedBy.KNOWN_CLIENT,) if is_open else ()
    # A known client has rows of its own, so it goes on where new ones are held out. Support's unlock is refused as a
    # whole where only a reset helps.
    return (LiftedBy.TIME, *known, *(() if two_factor.reset_needed else (LiftedBy.SUPPORT,)))
