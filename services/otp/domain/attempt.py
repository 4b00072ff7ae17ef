"""An attempt at a second factor, and how it can end."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import Factor, Purpose
from services.otp.domain.recovery_code import RecoveryCode

Code = Passcode | RecoveryCode


def parse_code(text: str) -> Code | None:
    """What a person typed into the one code field, or None when no factor of ours looks so."""
    return Passcode.parse(text) or RecoveryCode.parse(text)


@dataclass(frozen=True, slots=True)
class Verify:
    """Is this code right for this account, purpose and binding? ``device_id`` names a device that auth remembers."""

    account_id: str
    code: Code
    purpose: Purpose
    binding: str
    device_id: str | None = None


class Reason(IntEnum):
    """Why a code was refused, the more telling the higher; the outside hears one sentence (ASVS 6.3.8)."""

    WRONG = 0
    CLOCK_SKEW = 1
    SPENT = 2
    REPLAYED = 3

    @property
    def word(self) -> str:
        """As it stands in the attempt record."""
        return self.name.lower()


class Brake(StrEnum):
    """Why a code was not even compared."""

    BUDGET = "too_many_requests"
    HARD_STOP = "second_factor_locked"


@dataclass(frozen=True, slots=True)
class Verified:
    """The code was right and is now used up."""

    factor: Factor
    recovery_codes_remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The code was refused. ``coach_may_speak``: the caller may be told the clock skew."""

    reason: Reason
    clock_skew_seconds: int | None = None
    coach_may_speak: bool = False


@dataclass(frozen=True, slots=True)
class Throttled:
    """The code was not compared."""

    brake: Brake
    retry_after_seconds: int | None = None


Outcome = Verified | Rejected | Throttled
