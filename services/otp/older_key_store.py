"""Keys that set-up has shown and that were never confirmed, so that set-up can recognise a code of an older entry.

A person who begins twice has two entries of one name in the app, and may enter the code of the wrong one. The page then
says which entry to delete. Nothing here makes a key active: only a pending row of the table of authenticators becomes
active, and these keys have none. A code of an older key is a wrong code and costs a try.

An account has three such keys at most, each for a day from its beginning. They stay sealed for their enrollment and
account, in Redis. They are forgotten when an enrollment is confirmed. A key that was active is never among them.
"""

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis import Redis

from services.otp.domain.pending import PendingAuthenticator
from services.otp.domain.sealed import Sealed
from shared.clock import parse_rfc3339, rfc3339

KEPT_FOR = timedelta(days=1)
KEPT_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class OlderKey:
    """A key that was shown and never confirmed, sealed for its enrollment."""

    enrollment_id: str
    sealed: Sealed
    begun_at: datetime


def keep(redis: "Redis", account_id: str, older: PendingAuthenticator | None, now: datetime) -> None:
    """Keep the key of an enrollment that was replaced, cancelled, or ended with its session. Raises RedisError."""
    if older is None or older.created_at <= now - KEPT_FOR:
        return
    members = {
        "enrollment_id": older.id,
        "begun_at": rfc3339(older.created_at),
        "key_id": older.sealed.key_id,
        "ciphertext": base64.b64encode(older.sealed.ciphertext).decode(),
    }
    key, kept = _key(account_id), json.dumps(members)
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.lrem(key, 0, kept)  # a call that is sent again keeps it once
        pipeline.lpush(key, kept)
        pipeline.ltrim(key, 0, KEPT_AT_MOST - 1)
        pipeline.expire(key, KEPT_FOR)
        pipeline.execute()


def read(redis: "Redis", account_id: str, now: datetime) -> list[OlderKey]:
    """The account's older keys, newest first. Raises RedisError."""
    found = map(json.loads, redis.lrange(_key(account_id), 0, KEPT_AT_MOST - 1))
    keys = [
        OlderKey(
            enrollment_id=members["enrollment_id"],
            sealed=Sealed(members["key_id"], base64.b64decode(members["ciphertext"])),
            begun_at=parse_rfc3339(members["begun_at"]),
        )
        for members in found
    ]
    return [key for key in keys if key.begun_at > now - KEPT_FOR]


def forget(redis: "Redis", account_id: str) -> None:
    """Forget the account's older keys. Raises RedisError."""
    redis.delete(_key(account_id))


def _key(account_id: str) -> str:
    return f"otp:older_keys:{account_id}"
