"""Connections to Redis that give up soon enough for a 503 within three seconds."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from shared.secret import Secret


def connect(url: Secret[str]) -> Redis:
    """A pooled, thread-safe client; replies are str. It connects on first use.

    One immediate retry, and only for a connection found broken (the server restarted): a reply that never came
    must not repeat a claim, so time-outs are not retried.
    """
    return Redis.from_url(
        url.reveal(),
        decode_responses=True,
        socket_connect_timeout=1.0,
        socket_timeout=1.0,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
