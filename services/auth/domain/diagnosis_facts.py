"""What is known of an account whose owner cannot log in. ``diagnosis.py`` finds the causes in it."""

from dataclasses import dataclass
from datetime import datetime

from services.auth.domain.hold import Hold

PERIOD_SECONDS = 30  # RFC 6238; otp says how far off in whole steps


@dataclass(frozen=True, slots=True)
class Code:
    """A code that was entered, in the words of otp's record."""

    at: datetime
    purpose: str
    outcome: str
    factor: str | None = None
    reason: str | None = None
    clock_skew_seconds: int | None = None
    challenge_id: str | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it was compared and refused."""
        return self.outcome == "rejected"

    def is_accepted(self, factor: str) -> bool:
        """Whether it was accepted as this factor."""
        return self.outcome == "verified" and self.factor == factor

    @property
    def step(self) -> int:
        """The time step whose code it is, which tells different codes apart."""
        return (int(self.at.timestamp()) + (self.clock_skew_seconds or 0)) // PERIOD_SECONDS


@dataclass(frozen=True, slots=True)
class Password:
    """A password that was entered at login, and the challenge that a right one began."""

    at: datetime
    is_right: bool
    ip: str | None = None
    challenge_id: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A code by SMS to the phone that the account has, and how far it came."""

    requested_at: datetime
    expires_at: datetime
    status: str | None = None
    status_at: datetime | None = None
    reason: str | None = None

    @property
    def is_in_time(self) -> bool:
        """Whether it arrived before the code expired."""
        return self.status == "delivered" and not self.is_late

    @property
    def is_late(self) -> bool:
        """Whether it arrived after the code had expired."""
        return self.status == "delivered" and self.status_at is not None and self.status_at > self.expires_at

    @property
    def is_failed(self) -> bool:
        """Whether it is known not to arrive. An expired one without a reason gave way to a newer one."""
        return self.status in {"undelivered", "failed"} or (self.status == "expired" and self.reason is not None)

    @property
    def is_under_way(self) -> bool:
        """Whether nobody has said what became of it."""
        return self.status in {None, "queued", "sending", "sent"}


@dataclass(frozen=True, slots=True)
class RefusedText:
    """A code by SMS that was asked for and not sent."""

    at: datetime
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one account. Lists are newest first, and bounded by the code that reads them.

    ``factor_since``: when the app in use was set up. ``failures_of_strangers``, ``failures_in_all``: the rows of wrong
    codes behind the two locks.
    """

    is_on: bool = False
    is_suspended: bool = False
    must_enroll: bool = False
    backup_codes: int = 0
    phone_hint: str | None = None
    factor_since: datetime | None = None
    failures_of_strangers: int = 0
    failures_in_all: int = 0
    holds: tuple[Hold, ...] = ()
    last_login_at: datetime | None = None
    passwords: tuple[Password, ...] = ()
    codes: tuple[Code, ...] = ()
    texts: tuple[Text, ...] = ()
    refused_texts: tuple[RefusedText, ...] = ()

    def is_since_login(self, at: datetime) -> bool:
        """Whether it happened after the last login, so that the login does not answer it."""
        return self.last_login_at is None or at > self.last_login_at
