"""What a code is asked for, and which factors may answer: one purpose never serves for another."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.otp.domain.session_id import session_of


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
    # auth opens the small window only for a texted code (NIST §3.2.9: PSTN is restricted).
    Purpose.STEP_UP: PurposeRule(frozenset({Factor.TOTP, Factor.SMS, Factor.RECOVERY_CODE}), second_factor=True),
    Purpose.PHONE_VERIFICATION: PurposeRule(frozenset({Factor.SMS}), second_factor=False),
}


def occasion(purpose: Purpose, binding: str) -> str:
    """What a code is used up for: one request (``binding``) of one purpose. Ids, nothing secret."""
    return f"{purpose}:{binding}"


def requested_by(occasion: str) -> str:
    """The session that has requested the codes of this occasion. The codes end with it.

    The binding of a step-up is the session's id. That of a phone's proof is the session's id, a dot, and more. A login
    has no session, and its binding never equals the id of one.
    """
    return session_of(occasion.partition(":")[2])


SECOND_FACTOR_PURPOSES = frozenset(purpose for purpose, rule in PURPOSES.items() if rule.second_factor)
PURPOSES_BY_SMS = tuple(purpose for purpose, rule in PURPOSES.items() if Factor.SMS in rule.factors)
