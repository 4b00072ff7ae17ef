"""Ending everything that Redis holds of sessions and logins, after Redis or a database was restored from a backup."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from redis import Redis

from services.auth.session_store import epoch_key
from shared.clock import unix_seconds
from shared.redis_sweep import sweep

_MARK = "auth:after-restore:"
_MARK_LIVES_FOR = timedelta(days=30)


def is_cleared(redis: Redis, restore_id: str) -> bool:
    """Whether this Redis was cleared for this restore. A Redis that is restored once more has lost the mark."""
    return bool(redis.exists(_MARK + restore_id))


def clear(redis: Redis) -> None:
    """Delete sessions, logins under way and auth's other short-lived keys; epochs stay, to be raised."""
    sweep(redis, "auth:*", keep=(epoch_key(""), _MARK))


def raise_epochs(redis: Redis, account_ids: Sequence[str], now: datetime) -> None:
    """Raise each epoch to the time in seconds: an epoch grows by one an event, so it was never as high."""
    stood = redis.mget([epoch_key(account_id) for account_id in account_ids])
    with redis.pipeline(transaction=False) as pipeline:
        for account_id, epoch in zip(account_ids, stood, strict=True):
            pipeline.set(epoch_key(account_id), max(int(epoch or 0) + 1, unix_seconds(now)))
        pipeline.execute()


def note_cleared(redis: Redis, restore_id: str) -> None:
    """Remember that this Redis was cleared for this restore."""
    redis.set(_MARK + restore_id, 1, ex=_MARK_LIVES_FOR)
