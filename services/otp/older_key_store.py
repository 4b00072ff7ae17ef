"""Keys that set-up has shown and that were never confirmed, so that set-up can recognise a code of an older entry.

A person who begins twice has two entries of one name in the app, and may enter the code of the wrong one. The page then
says which entry to delete. Nothing here makes a key active: only a pending row of the table of authenticators becomes
active, and these keys have none. A code of an older key is a wrong code and costs a try.

An account has three such keys at most, each for a day from its beginning. They stay sealed for their enrollment and
account, in Redis. They are forgotten when an enrollment is confirmed. A key that was active is never among them.
"""

import base64
import contextlib
import json
from datetime import datetime, timedelta

from redis import Redis

from services.otp.domain.passcode import Passcode
from services.otp.domain.pending import PendingAuthenticator
from services.otp.domain.sealed import Sealed
from services.otp.domain.time_step import TimeStep
from services.otp.domain.totp import match_step
from services.otp.secrets_box import SecretBox
from shared.clock import parse_rfc3339, rfc3339
from shared.problems import Unavailable

KEPT_FOR = timedelta(days=1)
KEPT_AT_MOST = 3


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


def begun_at(
    redis: "Redis", box: SecretBox, account_id: str, passcode: Passcode, at: TimeStep, now: datetime
) -> datetime | None:
    """When the older enrollment began whose code this is; None when it is none of theirs. Raises RedisError."""
    for kept in redis.lrange(_key(account_id), 0, KEPT_AT_MOST - 1):
        members = json.loads(kept)
        begun = parse_rfc3339(members["begun_at"])
        if begun <= now - KEPT_FOR:
            continue
        sealed = Sealed(members["key_id"], base64.b64decode(members["ciphertext"]))
        with contextlib.suppress(Unavailable):  # sealed under a key that was taken away meanwhile
            secret = box.open(sealed, account_id, members["enrollment_id"])
            if match_step(secret, passcode, at) is not None:
                return begun
    return None


def forget(redis: "Redis", account_id: str) -> None:
    """Forget the account's older keys. Raises RedisError."""
    redis.delete(_key(account_id))


def _key(account_id: str) -> str:
    return f"otp:older_keys:{account_id}"
