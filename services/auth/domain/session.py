"""What a session has proven."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Factor(StrEnum):
    """What was shown at sign-in. A trusted device shortens the way but proves nothing by itself."""

    PASSWORD = "password"  # noqa: S105 - a factor's name
    TOTP = "totp"
    SMS = "sms"
    RECOVERY_CODE = "recovery_code"
    TRUSTED_DEVICE = "trusted_device"


class AssuranceLevel(StrEnum):
    """NIST SP 800-63B-4 §2: one factor, or two distinct ones."""

    AAL1 = "aal1"
    AAL2 = "aal2"


_SECOND_FACTORS = frozenset({Factor.TOTP, Factor.SMS, Factor.RECOVERY_CODE})

# RFC 8176 §2. It has no value for a look-up secret; "otp" is what a code that works once comes closest to.
_AMR = {Factor.PASSWORD: "pwd", Factor.TOTP: "otp", Factor.SMS: "sms", Factor.RECOVERY_CODE: "otp"}


def assurance(factors: tuple[Factor, ...]) -> AssuranceLevel:
    """The level that these factors reach together."""
    return AssuranceLevel.AAL2 if _SECOND_FACTORS & set(factors) else AssuranceLevel.AAL1


def amr(factors: tuple[Factor, ...]) -> list[str]:
    """Authentication methods references (RFC 8176): ``["pwd", "otp", "mfa"]``."""
    methods = list(dict.fromkeys(_AMR[factor] for factor in factors if factor in _AMR))
    return [*methods, "mfa"] if assurance(factors) is AssuranceLevel.AAL2 else methods


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser or client. ``stepped_up_at``: the last full proof; None if a trusted device shortened it."""

    id: str
    account_id: str
    factors: tuple[Factor, ...]
    transport: str
    authenticated_at: datetime
    stepped_up_at: datetime | None
    expires_at: datetime
    ip: str
    user_agent: str

    @property
    def assurance(self) -> AssuranceLevel:
        """The level reached."""
        return assurance(self.factors)
