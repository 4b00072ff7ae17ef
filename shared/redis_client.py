"""Connections to Redis that give up soon enough for a 503 within three seconds."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from shared.breaker import Breaker
from shared.secret import Secret
from shared.store_urls import Sentinels


def connect(url: Secret[str]) -> Redis:
    """A pooled, thread-safe client; replies are str. It connects on first use.

    No command is repeated: one whose reply never came may have claimed. A connection that the server has closed is
    found out before it is used.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_connect_timeout": 1.0,
        "socket_timeout": 1.0,
        "retry": Retry(NoBackoff(), 0),
    }
    if not url.reveal().startswith("sentinel://"):
        return _Redis.from_url(url.reveal(), **options)
    sentinels = Sentinels.parse(url.reveal())
    # Asked one after the other, so each gets half of what a server gets.
    known = Sentinel(sentinels.hosts, socket_connect_timeout=0.5, socket_timeout=0.5)  # type: ignore[no-untyped-call]
    return known.master_for(  # type: ignore[no-any-return, no-untyped-call]
        sentinels.master,
        redis_class=_Redis,
        db=sentinels.db,
        username=sentinels.username,
        password=sentinels.password.reveal() if sentinels.password else None,
        **options,
    )


def guarded(redis: Redis) -> AbstractContextManager[bool | None]:
    """For who asks the server past this client: the breaker that its own commands stand behind."""
    return redis.breaker.call(_hangs) if isinstance(redis, _Redis) else nullcontext()


class _Redis(Redis):
    """A client that stops asking a server that hangs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - redis-py's
        self.breaker = Breaker("redis", _timed_out, opens_after=3)
        super().__init__(*args, **kwargs)

    def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """redis-py's own, behind the breaker."""
        with self.breaker.call(_hangs):
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, *args: Any, **kwargs: Any) -> Pipeline:  # noqa: ANN401
        """redis-py's own, behind the breaker."""
        pipeline = _Pipeline(self.connection_pool, self.response_callbacks, *args, **{"shard_hint": None, **kwargs})
        pipeline.breaker = self.breaker
        return pipeline


class _Pipeline(Pipeline):
    breaker: Breaker

    def execute(self, *args: Any, **kwargs: Any) -> list[Any]:  # noqa: ANN401
        """redis-py's own, behind the breaker."""
        with self.breaker.call(_hangs):
            return super().execute(*args, **kwargs)


def _timed_out(error: BaseException) -> bool:
    return isinstance(error, RedisTimeoutError)


def _hangs() -> RedisTimeoutError:
    return RedisTimeoutError("the server has not answered lately")
