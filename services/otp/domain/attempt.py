"""An attempt at a second factor, and how it can end."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

from services.otp.domain.failure_row import FailureRow
from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import Factor, Purpose, occasion
from services.otp.domain.recovery_code import RecoveryCode

Code = Passcode | RecoveryCode


def parse_code(text: str) -> Code | None:
    """What a person typed into the one code field, or None when no factor of ours looks so."""
    return Passcode.parse(text) or RecoveryCode.parse(text)


@dataclass(frozen=True, slots=True)
class Verify:
    """The question whether a code is right for this account, purpose and binding.

    ``device_id`` names the device that the account knows: the one that signs in, or the one whose session steps up.
    """

    account_id: str
    code: Code
    purpose: Purpose
    binding: str
    device_id: str | None = None

    @property
    def six_digits(self) -> bool:
        """Whether it is a code that can be guessed; a recovery code can't."""
        return isinstance(self.code, Passcode)

    @property
    def device_known(self) -> bool:
        """Whether it comes from a browser that has been through a second factor of this account."""
        return self.device_id is not None

    @property
    def challenge_id(self) -> str | None:
        """The login challenge that the code answers: the binding of that purpose."""
        return self.binding if self.purpose is Purpose.LOGIN else None

    @property
    def occasion(self) -> str:
        """What the code is used up for; the same code for the same occasion is a repeated request."""
        return occasion(self.purpose, self.binding)


class Claim(IntEnum):
    """The reply of the one statement that uses a code up."""

    LOST = 0
    WON = 1
    # A moment ago, for the same occasion: the request is repeated, for its answer was lost or what followed failed.
    REPEATED = 2


class Reason(IntEnum):
    """Why a code was refused, the more telling the higher; the outside hears one sentence (ASVS 6.3.8)."""

    WRONG = 0
    CLOCK_SKEW = 1
    SPENT = 2
    REPLAYED = 3
    OLDER_ENTRY = 4

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
    """The code was right and is now used up.

    ``repeated``: it was used up a moment ago for the same occasion, so that this is the same success, told again.
    """

    factor: Factor
    recovery_codes_remaining: int | None = None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The code was refused. ``coach_may_speak``: the caller may be told the clock skew.

    ``older_entry_begun_at``: it is a code of a key that an earlier enrollment has shown then, and that never counted.
    """

    reason: Reason
    clock_skew_seconds: int | None = None
    coach_may_speak: bool = False
    older_entry_begun_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """The code was not compared. ``spent``: the row of failures that had no room, at a hard stop."""

    brake: Brake
    retry_after_seconds: int | None = None
    spent: FailureRow | None = None


Outcome = Verified | Rejected | Throttled
