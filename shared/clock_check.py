"""Whether this machine's clock is right: a code is only as good as the clock that it is checked by."""

from datetime import UTC, datetime, timedelta

from redis import Redis
from redis.exceptions import RedisError

from shared.clock import Clock
from shared.problems import Unavailable

# Half a time step: what a wrong clock takes from the validation window (RFC 6238 §5.2) is the user's to lose.
TOLERANCE = timedelta(seconds=15)


def require_right_clock(redis: Redis, clock: Clock) -> None:
    """Raise Unavailable("clock") when our time is not that of the Redis server, which all processes share.

    A server that does not answer has a part of its own in the answer of ``/readyz``.
    """
    try:
        seconds, microseconds = redis.time()
    except RedisError:
        return
    theirs = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
    if abs(clock() - theirs) > TOLERANCE:
        raise Unavailable("clock")
