"""What a call says after the right keys were pressed: notify leaves it, the gateway takes it when the provider asks.

Before somebody is on the line, the code stands in no URL and nowhere at the provider. notify encrypts what is to be
said under a token, which stands in the callback's address alone. So Redis has the text without its key, and the
provider has the key without the text. The gateway has both when the keys were pressed. Each text is taken once.
"""

import json
from dataclasses import asdict, dataclass
from typing import cast

from redis import Redis

from shared.ids import new_token, token_digest
from shared.sealing import CannotOpen, lock, unlock


@dataclass(frozen=True, slots=True, repr=False)
class SpokenCode:
    """The provider's documents for the one call of a message: ``told`` for the right ``keys``, ``refused`` for others.

    ``to``: the number that is called (E.164).
    """

    message_id: str
    to: str
    keys: str
    told: str
    refused: str

    def __repr__(self) -> str:
        return f"SpokenCode(message_id={self.message_id!r}, ***)"


def keep(redis: Redis, spoken: SpokenCode, lives_seconds: int) -> str:
    """Leave it for the gateway; the token that opens it. Raises RedisError."""
    token = new_token()
    redis.set(_key(token), lock(token, json.dumps(asdict(spoken))), ex=lives_seconds)
    return token


def take(redis: Redis, message_id: str, token: str) -> SpokenCode | None:
    """What this token opens, if it is of this message; nobody gets it again. Raises RedisError."""
    locked = cast("str | None", redis.getdel(_key(token)))
    if locked is None:
        return None
    try:
        spoken = SpokenCode(**json.loads(unlock(token, locked)))
    except (CannotOpen, ValueError, TypeError):
        return None
    return spoken if spoken.message_id == message_id else None


def _key(token: str) -> str:
    return f"notify:spoken:{token_digest(token)}"
