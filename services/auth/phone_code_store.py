"""The answer about the last code that was sent to a pending number: Redis keeps it for a repeat while the code is live.

The code itself is not here: only otp knows it.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from redis import Redis

from shared.clock import parse_rfc3339, rfc3339


def _key(account_id: str) -> str:
    return f"auth:phone_code:{account_id}"


def keep(
    redis: "Redis",
    account_id: str,
    binding: str,
    epoch: int,
    sent: Mapping[str, str],
    *,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Keep what was sent under this binding, in place of what was sent before. Raises RedisError."""
    life_ms = (expires_at - now) // timedelta(milliseconds=1)
    if life_ms > 0:
        value = {"binding": binding, "epoch": epoch, "expires_at": rfc3339(expires_at), "sent": dict(sent)}
        redis.set(_key(account_id), json.dumps(value), px=life_ms)


def find(redis: "Redis", account_id: str, binding: str, epoch: int, now: datetime) -> dict[str, str] | None:
    """Return the answer that was kept under this binding, if its code still proves the number. Raises RedisError.

    A change that raises the account's epoch, such as a new password, has ended the code.
    """
    raw = redis.get(_key(account_id))
    if raw is None:
        return None
    value = json.loads(str(raw))
    if (value["binding"], value["epoch"]) != (binding, epoch) or parse_rfc3339(value["expires_at"]) <= now:
        return None
    return dict(value["sent"])
