"""What a code is asked for, and which factors may answer: one purpose never serves for another."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Purpose(StrEnum):
    """Why a code is asked for."""

    LOGIN = "login"
    STEP_UP = "step_up"
    PHONE_VERIFICATION = "phone_verification"


class Factor(StrEnum):
    """What a code was."""

    TOTP = "totp"
    SMS = "sms"
    RECOVERY_CODE = "recovery_code"


@dataclass(frozen=True, slots=True)
class PurposeRule:
    """``second_factor``: it needs 2FA to be on, and it counts for the hard stop.

    A proof of a phone counts there neither way: were it to clear the count of failed second factors, whoever may set
    a phone could guess on for ever.
    """

    factors: frozenset[Factor]
    second_factor: bool


PURPOSES: Mapping[Purpose, PurposeRule] = {
    Purpose.LOGIN: PurposeRule(frozenset({Factor.TOTP, Factor.SMS, Factor.RECOVERY_CODE}), second_factor=True),
    # A step-up opens changes of factors and phones: an SMS (NIST §3.2.9: PSTN is restricted) renews none. A login by
    # SMS counts as one for its first ten minutes, as every login does.
    Purpose.STEP_UP: PurposeRule(frozenset({Factor.TOTP, Factor.RECOVERY_CODE}), second_factor=True),
    Purpose.PHONE_VERIFICATION: PurposeRule(frozenset({Factor.SMS}), second_factor=False),
}


def occasion(purpose: Purpose, binding: str) -> str:
    """What a code is used up for: one request (``binding``) of one purpose. Ids, nothing secret."""
    return f"{purpose}:{binding}"


SECOND_FACTOR_PURPOSES = frozenset(purpose for purpose, rule in PURPOSES.items() if rule.second_factor)
PURPOSES_BY_SMS = tuple(purpose for purpose, rule in PURPOSES.items() if Factor.SMS in rule.factors)
