"""How long a request may wait for all that it does one after another: a 503 is due within three seconds.

A service that calls another one sends two limits, and the earlier one holds. ``X-Time-Left`` counts from the moment
when a thread of the called service reads the call. ``X-Gives-Up-At`` also covers a call that waited unread in a stopped
or busy process. It goes by the Redis server's clock (ServerClock), because the clocks of two machines differ. The
called service does no work for a caller that has given up.
"""

import time
from contextvars import ContextVar

from shared.problems import Unavailable

REQUEST_SECONDS = 2.7
TIME_LEFT_HEADER = "X-Time-Left"  # milliseconds until the caller gives up
GIVES_UP_AT_HEADER = "X-Gives-Up-At"  # when that is: Unix milliseconds of the Redis server's clock
_AT_LEAST_SECONDS = 0.05

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


def begin_request() -> None:
    """The request that this thread serves from here on has so long for its waits; outside of one they are free."""
    _ends_at.set(time.monotonic() + REQUEST_SECONDS)


def caller_waits(milliseconds: int | None) -> None:
    """Note in how many milliseconds this request's caller gives up; None where the caller did not say."""
    ends_at = _ends_at.get()
    if milliseconds is not None and ends_at is not None:
        _ends_at.set(min(ends_at, time.monotonic() + milliseconds / 1000))


def end_request() -> None:
    """What this thread does from here on is nobody's request."""
    _ends_at.set(None)


def at_most(seconds: float) -> float:
    """A time-out: this long, or what is left of the request when that is less."""
    ends_at = _ends_at.get()
    return seconds if ends_at is None else max(_AT_LEAST_SECONDS, min(seconds, ends_at - time.monotonic()))


def require_time() -> None:
    """Raise Unavailable when the request's time is over, because its caller has given up."""
    ends_at = _ends_at.get()
    if ends_at is not None and time.monotonic() >= ends_at:
        raise Unavailable("deadline")
