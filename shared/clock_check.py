"""Our clock beside the Redis server's, which all processes share: a code is as good as the clock that checks it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from redis import Redis
from redis.exceptions import RedisError

from shared.clock import Clock, system_clock
from shared.problems import Unavailable

# Half a time step: what a wrong clock takes from the validation window (RFC 6238 §5.2) is the user's to lose.
TOLERANCE = timedelta(seconds=15)
# So that a clock which was put right, or which another server has, is followed soon.
ASKED_EVERY_SECONDS = 30.0


def server_time(redis: Redis) -> datetime:
    """What the Redis server takes the time to be. Raises RedisError."""
    seconds, microseconds = redis.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)


def seconds_ahead(redis: Redis, clock: Clock) -> float:
    """By how much our time is later than the Redis server's. Raises RedisError."""
    theirs = server_time(redis)
    return (clock() - theirs).total_seconds()


def require_right_clock(redis: Redis, clock: Clock) -> None:
    """Raise Unavailable("clock") when our time is not that of the Redis server.

    A server that does not answer has a part of its own in the answer of ``/readyz``.
    """
    try:
        ahead = seconds_ahead(redis, clock)
    except RedisError:
        return
    if abs(ahead) > TOLERANCE.total_seconds():
        raise Unavailable("clock")


class ServerClock:
    """The Redis server's time, for processes that share what has an end: they agree, whatever their machines say.

    Counted on from the last answer by a clock that nobody sets. Until the first one it is the machine's own time, and
    each look asks anew: a code that a wrong clock has minted is lost.
    """

    def __init__(self, redis: Redis, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._monotonic = monotonic
        self._asked_at = 0.0
        self._ahead: float | None = None  # seconds since the epoch, less the monotonic clock's

    def __call__(self) -> datetime:
        """The present moment, aware UTC."""
        now = self._monotonic()
        if self._ahead is None or now - self._asked_at >= ASKED_EVERY_SECONDS:
            self._asked_at = now
            self._ask()
        if self._ahead is None:
            return system_clock()
        return datetime.fromtimestamp(self._monotonic() + self._ahead, UTC)

    def _ask(self) -> None:
        try:
            self._ahead = server_time(self._redis).timestamp() - self._monotonic()
        except RedisError:
            return
