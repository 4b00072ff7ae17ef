"""How long a request may wait for all that it does one after another: a 503 is due within three seconds."""

import time
from contextvars import ContextVar

REQUEST_SECONDS = 2.7
_AT_LEAST_SECONDS = 0.05

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


def begin_request() -> None:
    """The request that this thread serves from here on has so long for its waits; outside of one they are free."""
    _ends_at.set(time.monotonic() + REQUEST_SECONDS)


def end_request() -> None:
    """What this thread does from here on is nobody's request."""
    _ends_at.set(None)


def at_most(seconds: float) -> float:
    """A time-out: this long, or what is left of the request when that is less."""
    ends_at = _ends_at.get()
    return seconds if ends_at is None else max(_AT_LEAST_SECONDS, min(seconds, ends_at - time.monotonic()))
