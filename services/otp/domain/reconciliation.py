"""After a restore: auth's timeline of an account's 2FA, compared with what otp holds. The newer one is right."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# auth's timeline and otp's row hold the same time of an event; a store may round it.
SAME_MOMENT = timedelta(seconds=1)


class Conflict(StrEnum):
    """How auth and otp disagree. The account must then enrol with a word, so 2FA is never silently off."""

    LOST = "two_factor_lost"  # nothing is active, and the timeline does not say why
    REVOKED = "two_factor_revoked"  # the timeline says that this authenticator was turned off, reset or replaced


@dataclass(frozen=True, slots=True)
class Told:
    """What auth's timeline says: 2FA was turned on, or off, at that moment."""

    is_on: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """What otp has: since when an authenticator is active, and when the last one was revoked."""

    active_since: datetime | None
    revoked_at: datetime | None


def compare(told: Told | None, held: Held, backup_taken_at: datetime) -> Conflict | None:
    """The conflict, if there is one.

    Where the timeline says nothing, an active authenticator was imported and stays. One that was revoked after the
    backup counts as lost: the timeline lacks its enrolment, and may lack the reset that revoked it.
    """
    if held.active_since is None:
        known_until = backup_taken_at if told is None else told.at
        ended_later = held.revoked_at is not None and held.revoked_at > known_until + SAME_MOMENT
        return Conflict.LOST if ended_later or (told is not None and told.is_on) else None
    if told is None:
        return None
    is_older = held.active_since < told.at - SAME_MOMENT if told.is_on else held.active_since <= told.at
    return Conflict.REVOKED if is_older else None
