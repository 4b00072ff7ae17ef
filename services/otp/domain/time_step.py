"""The time step of TOTP (RFC 6238 §4.2): what an authenticator counts, and what is stored of an accepted code."""

from typing import NewType

TimeStep = NewType("TimeStep", int)

PERIOD_SECONDS = 30
NEVER = TimeStep(-1)


def step_at(unix_seconds: int) -> TimeStep:
    """The time step T of a moment."""
    return TimeStep(unix_seconds // PERIOD_SECONDS)
