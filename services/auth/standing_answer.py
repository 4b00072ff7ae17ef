"""Which kept answer of an account may be given again: that of its latest change (repeat_store keeps the answers).

What an answer says or hands out may be void after a later change of the account. So every later change voids it: a call
that is kept takes its place, and session_store.end voids it in the step of its order. This stands apart from
repeat_store, because the event worker loads no ciphers.
"""

from datetime import datetime

from redis import Redis
from redis.client import Pipeline

from shared.clock import rfc3339


def key(account_id: str) -> str:
    """The key of the answer's name: the time when it was kept, a blank, and the answer's own key."""
    return f"auth:standing_answer:{account_id}"


def queue_set(pipeline: Pipeline, account_id: str, answer_key: str, now: datetime, *, life_ms: int) -> None:
    """Queue that this answer stands for ``life_ms`` milliseconds, and no other one of the account."""
    pipeline.set(key(account_id), f"{rfc3339(now)} {answer_key}", px=life_ms)


def stands(redis: "Redis", account_id: str, answer_key: str) -> bool:
    """Whether this answer may be given again. Raises RedisError."""
    return str(redis.get(key(account_id)) or "").partition(" ")[2] == answer_key


def void(redis: "Redis", account_id: str) -> None:
    """Let no answer stand. Raises RedisError."""
    redis.delete(key(account_id))
