"""How the phone of an account was proven, in Redis, for the minute in which that call may be repeated.

A proof is kept inside the transaction that makes the number the account's. So a reader compares it with SQL, which says
whether that transaction was committed.
"""

from datetime import datetime, timedelta

from redis import Redis

from services.auth.domain.account import Account
from services.auth.limits import REPEATABLE_FOR
from shared.clock import rfc3339


def _key(account_id: str) -> str:
    return f"auth:phone_proof:{account_id}"


def keep(redis: "Redis", account_id: str, binding: str, proven_at: datetime) -> None:
    """Keep what the code was bound to. Raises RedisError."""
    life_ms = REPEATABLE_FOR // timedelta(milliseconds=1)
    redis.set(_key(account_id), f"{binding} {rfc3339(proven_at)}", px=life_ms)


def find(redis: "Redis", account: Account) -> str | None:
    """What the code was bound to that has just proven the account's present phone. Raises RedisError."""
    if account.phone_verified_at is None:
        return None
    binding, _, proven_at = str(redis.get(_key(account.id)) or "").partition(" ")
    return binding if proven_at == rfc3339(account.phone_verified_at) else None
