"""Connections to Redis that give up soon enough for a 503 within three seconds."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.secret import Secret


def connect(url: Secret[str]) -> Redis:
    """A pooled, thread-safe client; replies are str. It connects on first use.

    No command is repeated: one whose reply never came may have claimed. A connection that the server has closed is
    found out before it is used.
    """
    return Redis.from_url(
        url.reveal(),
        decode_responses=True,
        socket_connect_timeout=1.0,
        socket_timeout=1.0,
        retry=Retry(NoBackoff(), 0),
    )
