"""What can hold an account out, and what can lift it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class What(StrEnum):
    """What is refused. A new client is one that the account does not know."""

    PASSWORDS_NEW = "passwords_new_clients"
    PASSWORDS_KNOWN = "passwords_known_clients"
    PASSWORDS_STEP_UP = "passwords_step_up"  # in one of the open sessions, each of which has a row
    CODES_LOGIN = "codes_login"
    CODES_PHONE = "codes_phone_verification"
    CODES_ENROLLMENT = "codes_enrollment"
    CODES_NEW = "codes_new_clients"
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

    what: What
    until: datetime | None
    lifted_by: tuple[LiftedBy, ...]
