"""Which of an account's budgets are spent just now, for support: a look that counts nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.otp.deps import Deps
from services.otp.domain.purpose import Purpose
from services.otp.enrollment import PURPOSE as ENROLLMENT
from services.otp.limits import CONFIRM_ENROLLMENT, VERIFY_LOGIN, VERIFY_PHONE
from shared import budgets
from shared.budgets import Charge, Rate

# By the words of the attempt record. What a device or a session alone has spent isn't here: it holds out nobody else.
BY_PURPOSE: Mapping[str, Rate] = {
    str(Purpose.LOGIN): VERIFY_LOGIN,
    str(Purpose.PHONE_VERIFICATION): VERIFY_PHONE,
    ENROLLMENT: CONFIRM_ENROLLMENT,
}


@dataclass(frozen=True, slots=True)
class Throttle:
    """Codes for this purpose are not looked at before ``until``."""

    purpose: str
    until: datetime


def of_account(deps: Deps, account_id: str) -> list[Throttle]:
    """The spent ones. Raises RedisError."""
    waits = budgets.waits(deps.redis, *(Charge(rate, account_id) for rate in BY_PURPOSE.values()))
    now = deps.clock()
    return [
        Throttle(purpose, now + timedelta(seconds=seconds))
        for purpose, seconds in zip(BY_PURPOSE, waits, strict=True)
        if seconds
    ]
