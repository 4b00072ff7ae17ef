"""What can hold an account out, and what can lift it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Held(StrEnum):
    """What is refused. A new client is one that the account does not know."""

    PASSWORDS_NEW = "passwords_new_clients"
    PASSWORDS_KNOWN = "passwords_known_clients"
    PASSWORDS_STEP_UP = "passwords_step_up"  # in one of the open sessions, each of which has a row
    CODES_LOGIN = "codes_login"
    CODES_PHONE = "codes_phone_verification"
    CODES_ENROLLMENT = "codes_enrollment"
    CODES_NEW = "codes_new_clients"
    CODES_BRAKED = "codes_one_try"  # a new client's try of the day is used up (guessing_brake)
    CODES_ALL = "codes_everywhere"


class LiftedBy(StrEnum):
    """What lets the owner in again."""

    TIME = "time"  # the end of the wait
    KNOWN_CLIENT = "known_client"  # a sign-in in a client that the account knows
    BACKUP_CODE = "backup_code"  # a sign-in with one
    OWNER_WORD = "owner_word"  # DELETE /v1/two-factor/wrong-codes in a known client
    NEW_PASSWORD = "new_password"  # noqa: S105 - a change
    SUPPORT = "support"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Hold:
    """One thing that is refused. ``until`` is None where no time ends it."""

    what: Held
    until: datetime | None
    lifted_by: tuple[LiftedBy, ...]


# All that can ever lift it. A known client has rows of its own, so it goes on where new ones are held out. No row of
# six digits refuses a backup code.
_LIFTED_BY: Mapping[Held, tuple[LiftedBy, ...]] = {
    Held.PASSWORDS_NEW: (LiftedBy.TIME, LiftedBy.KNOWN_CLIENT, LiftedBy.SUPPORT),
    Held.PASSWORDS_KNOWN: (LiftedBy.TIME, LiftedBy.SUPPORT),
    Held.PASSWORDS_STEP_UP: (LiftedBy.TIME, LiftedBy.SUPPORT),
    Held.CODES_LOGIN: (LiftedBy.TIME, LiftedBy.KNOWN_CLIENT, LiftedBy.BACKUP_CODE, LiftedBy.SUPPORT),
    Held.CODES_PHONE: (LiftedBy.TIME, LiftedBy.SUPPORT),
    Held.CODES_ENROLLMENT: (LiftedBy.TIME, LiftedBy.SUPPORT),
    Held.CODES_NEW: (
        *(LiftedBy.KNOWN_CLIENT, LiftedBy.BACKUP_CODE, LiftedBy.OWNER_WORD, LiftedBy.NEW_PASSWORD),
        *(LiftedBy.SUPPORT, LiftedBy.RESET),
    ),
    Held.CODES_BRAKED: (LiftedBy.TIME, LiftedBy.KNOWN_CLIENT, LiftedBy.BACKUP_CODE, LiftedBy.SUPPORT),
    Held.CODES_ALL: (LiftedBy.BACKUP_CODE, LiftedBy.RESET),
}


def lifted_by(
    what: Held, *, has_backup_codes: bool, is_locked_everywhere: bool, is_reset_needed: bool
) -> tuple[LiftedBy, ...]:
    """What lifts it for an account in this state, in the order in which a page names them."""
    helps = {
        # While codes are locked everywhere, a known client's codes are refused as well. Its password is not.
        LiftedBy.KNOWN_CLIENT: what is Held.PASSWORDS_NEW or not is_locked_everywhere,
        LiftedBy.BACKUP_CODE: has_backup_codes,
        LiftedBy.SUPPORT: not is_reset_needed,  # otp then refuses support's unlock as a whole
        LiftedBy.RESET: is_reset_needed or is_locked_everywhere,
    }
    return tuple(one for one in _LIFTED_BY[what] if helps.get(one, True))
