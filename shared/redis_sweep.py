"""Deleting the keys that match a pattern in Redis, for commands that run while the services are stopped."""

from collections.abc import Collection

from redis import Redis

PAGE = 500


def sweep(redis: Redis, pattern: str, *, keep: Collection[str] = ()) -> int:
    """Delete the keys that match, but for those that begin with one of ``keep``; how many. Raises RedisError."""
    kept, found, deleted = tuple(keep), [], 0
    for key in redis.scan_iter(match=pattern, count=1000):
        if not str(key).startswith(kept):
            found.append(key)
        if len(found) == PAGE:
            deleted += int(redis.delete(*found))
            found = []
    return deleted + (int(redis.delete(*found)) if found else 0)
