"""What a session has proven, and what it rests on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
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


class StepUp(StrEnum):
    """How much a step-up window opens: ``small`` after a texted code, ``full`` after an app code or a backup code."""

    SMALL = "small"
    FULL = "full"


_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The factors that a session keeps when its account has no second factor.
WITHOUT_SECOND_FACTOR = frozenset({Factor.PASSWORD})


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """How long a session lives: ``life`` at most, ``idle`` without use."""

    life: timedelta
    idle: timedelta


# A use moves the end of a session only when that is a sixtieth of the idle time later. So a session in use costs one
# write a minute, where the idle time is an hour, and ends 59 to 60 minutes after its last use.
_STEPS = 60


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser or client.

    ``expires_at`` is when it ends if it is not used again, ``ends_at`` when it ends however much it is used.

    ``stepped_up_at`` is the last full proof, ``small_step_up_at`` the last one by a texted code; either may be None.
    ``signed_in_with`` are the factors of the sign-in itself, without later proofs. ``device_id`` is the
    device that the session was opened on or that it made; ``trust_factor`` the factor by which a remembered device,
    which skipped the code, had won its trust. ``renewed_at``: when the session last got a new token.
    The members with a default are absent from a session that an earlier release has stored.
    """

    id: str
    account_id: str
    factors: tuple[Factor, ...]
    transport: str
    authenticated_at: datetime
    stepped_up_at: datetime | None
    expires_at: datetime
    ip: str
    user_agent: str  # browser and system in words of ours; of sessions of an earlier release, as the client wrote it
    signed_in_with: tuple[Factor, ...] = ()
    device_id: str | None = None
    trust_factor: Factor | None = None
    small_step_up_at: datetime | None = None
    renewed_at: datetime | None = None
    ends_at: datetime | None = None  # None: a use does not move its end

    @property
    def call_id(self) -> str:
        """The id under which otp knows the session while it has its present token.

        It is the session's id, a dot, and the time of that token in microseconds since 1970. A new token changes
        it. So otp can refuse a call that a copy of the old token still has under way.
        """
        return f"{self.id}.{(self._token_since - _UNIX_EPOCH) // timedelta.resolution}"

    @property
    def _token_since(self) -> datetime:
        return self.renewed_at or self.authenticated_at

    def renewed(self, at: datetime) -> "Session":
        """The session with a new token from this moment, and so with another ``call_id``."""
        return replace(self, renewed_at=max(at, self._token_since + timedelta.resolution))

    def end_after_use(self, now: datetime, idle: timedelta) -> datetime | None:
        """When the session ends after a use at ``now``; None where this use does not move its end."""
        if self.ends_at is None:
            return None
        ends = min(now + idle, self.ends_at)
        return ends if ends - self.expires_at >= idle / _STEPS else None

    @property
    def proven_at(self) -> datetime:
        """When a factor was last shown: at the sign-in, or at a step-up after it."""
        return max(at for at in (self.authenticated_at, self.stepped_up_at, self.small_step_up_at) if at is not None)

    @property
    def assurance(self) -> AssuranceLevel:
        """The level reached."""
        return assurance(self.factors)

    def rests_on(self, factor: Factor) -> bool:
        """Whether this factor won the sign-in, or may have won the trust of the device that shortened it."""
        signed_in_with = self.signed_in_with or self.factors
        unknown = Factor.TRUSTED_DEVICE in signed_in_with and self.trust_factor is None  # so it may be this one
        return factor in signed_in_with or factor is self.trust_factor or unknown

    def proven(self, factors: tuple[Factor, ...], at: datetime) -> "Session":
        """The session after a step-up with these factors: a texted code opens the small window, all else the full."""
        shown = tuple(dict.fromkeys((*self.factors, *factors)))
        if step_up_by(factors) is StepUp.SMALL:
            return replace(self, factors=shown, small_step_up_at=at)
        return replace(self, factors=shown, stepped_up_at=at)

    def reduced(self, left: frozenset[Factor]) -> "Session":
        """The session when its account has only these factors left."""

        def of(factors: tuple[Factor, ...]) -> tuple[Factor, ...]:
            return tuple(factor for factor in factors if factor in left)

        trust = self.trust_factor if self.trust_factor in left else None
        return replace(self, factors=of(self.factors), signed_in_with=of(self.signed_in_with), trust_factor=trust)

    def without_windows(self) -> "Session":
        """The session with its step-up windows closed."""
        return replace(self, stepped_up_at=None, small_step_up_at=None)


@dataclass(frozen=True, slots=True)
class PassOn:
    """Where a session's new token is kept for a repeat of the call that made it, and how it is sealed."""

    key: str
    seal: Callable[[str], str]


def step_up_by(factors: tuple[Factor, ...]) -> StepUp:
    """The window that a password with these factors opens (NIST SP 800-63B-4 §3.2.9: texts are restricted)."""
    return StepUp.SMALL if Factor.SMS in factors else StepUp.FULL


def opened_by(factors: tuple[Factor, ...]) -> StepUp | None:
    """The window that a sign-in opens: none by a texted code, none where a remembered device skipped the code."""
    return None if {Factor.SMS, Factor.TRUSTED_DEVICE} & set(factors) else StepUp.FULL
