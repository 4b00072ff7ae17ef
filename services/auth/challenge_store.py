"""Login challenges in Redis: bound to account and client, single use.

session_store claims a challenge in the step that opens its session, and deletes the challenges that a change ends.
"""

import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING

from shared.clock import parse_rfc3339, rfc3339
from shared.ids import token_digest
from shared.lua import LuaScript

if TYPE_CHECKING:
    from redis import Redis

PREFIX = "auth:challenge:"


class LinkClaim(IntEnum):
    """What came of a link that confirms a login."""

    EXPIRED = 0  # it was used, its login has ended, or it was never issued
    CONFIRMED = 1
    OTHER_BROWSER = 2


@dataclass(frozen=True, slots=True)
class LoginChallenge:
    """A right password that waits for its second factor.

    ``binding_digest``: the digest of a secret that only the browser or client which began the login holds.
    ``is_counted``: a completed login gives its password back to the sum of guesses (guessing_brake).
    """

    id: str
    account_id: str
    epoch: int
    transport: str
    methods: tuple[str, ...]
    expires_at: datetime
    device_id: str | None
    ip: str
    user_agent: str
    binding_digest: str = ""  # absent from a challenge that an earlier release has stored, which nobody can answer
    is_counted: bool = True

    @property
    def offers_sms(self) -> bool:
        """Whether a texted code can answer it: the account's phone is the one that it had when the login began."""
        return "sms" in self.methods

    def belongs_to(self, binding: str | None) -> bool:
        """Whether this is the secret of the client that began the login."""
        return binding is not None and hmac.compare_digest(token_digest(binding), self.binding_digest)


@dataclass(frozen=True, slots=True)
class SentSms:
    """The last SMS or call of a challenge, as its page shows it."""

    message_id: str
    reference: str
    is_text: bool = True


# The index of an account's challenges lets a change delete them. A challenge that it names may have expired.
_PUT = LuaScript("""
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[2], ARGV[3], 1)
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
""")


# Each link works once, and confirms only in the browser that holds the challenge's secret. One that is opened elsewhere
# stays good, because its owner may still open it in the right browser.
_CONFIRM = LuaScript("""
local raw = redis.call('GET', KEYS[1])
if not raw or redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then return 0 end
if cjson.decode(raw).binding_digest ~= ARGV[2] then return 2 end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[3], 1, 'PX', math.max(1, redis.call('PTTL', KEYS[1])))
return 1
""")


def key(challenge_id: str) -> str:
    """The key of a challenge, for reading it in one round trip with a count; decode it with ``load``."""
    return PREFIX + challenge_id


def index_key(account_id: str) -> str:
    """The key of the ids of an account's challenges."""
    return f"auth:logins:{account_id}"


def _sms_key(challenge_id: str) -> str:
    return f"auth:challenge_sms:{challenge_id}"


def put(redis: "Redis", challenge: LoginChallenge, now: datetime) -> None:
    """Store a challenge until it expires."""
    keys = [key(challenge.id), index_key(challenge.account_id)]
    _PUT.run(redis, keys, [dump(challenge), life_ms(challenge, now), challenge.id])


def get(redis: "Redis", challenge_id: str) -> LoginChallenge | None:
    """The live challenge of this id."""
    return load(text(redis.get(key(challenge_id))))


def load(raw: str | None) -> LoginChallenge | None:
    """A stored challenge as a value."""
    if raw is None:
        return None
    members = json.loads(raw)
    return LoginChallenge(
        **{**members, "methods": tuple(members["methods"]), "expires_at": parse_rfc3339(members["expires_at"])}
    )


def delete(redis: "Redis", challenge_id: str) -> None:
    """Delete a challenge whose login can't be completed (its SMS request could not be published)."""
    redis.delete(key(challenge_id), _sms_key(challenge_id))


def note_sms(redis: "Redis", challenge: LoginChallenge, sent: SentSms, now: datetime) -> None:
    """Remember the challenge's last SMS for its page."""
    redis.set(_sms_key(challenge.id), dump(sent), px=life_ms(challenge, now))


def last_sms(redis: "Redis", challenge_id: str) -> SentSms | None:
    """The challenge's last SMS."""
    raw = text(redis.get(_sms_key(challenge_id)))
    return None if raw is None else SentSms(**json.loads(raw))


def _links_key(challenge_id: str) -> str:
    return f"auth:challenge_links:{challenge_id}"


def confirmed_key(challenge_id: str) -> str:
    """The key that is there once a link in a mail has confirmed the challenge."""
    return f"auth:challenge_confirmed:{challenge_id}"


def is_confirmed(redis: "Redis", challenge_id: str) -> bool:
    """Whether a link in a mail has confirmed it. Raises RedisError."""
    return redis.exists(confirmed_key(challenge_id)) == 1


def add_link(redis: "Redis", challenge: LoginChallenge, token: str, now: datetime) -> None:
    """Remember the digest of a link's token until the challenge expires. Raises RedisError."""
    links = _links_key(challenge.id)
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.sadd(links, token_digest(token))
        pipeline.pexpire(links, life_ms(challenge, now))
        pipeline.execute()


def confirm(redis: "Redis", challenge_id: str, token: str, binding: str | None) -> LinkClaim:
    """Claim a link for the client that holds this binding, in one step. It ends the challenge's other links, too."""
    keys = [key(challenge_id), _links_key(challenge_id), confirmed_key(challenge_id)]
    return LinkClaim(int(_CONFIRM.run(redis, keys, [token_digest(token), token_digest(binding or "")])))


def life_ms(challenge: LoginChallenge, now: datetime) -> int:
    """How many milliseconds it still has to live."""
    return max(1, int((challenge.expires_at - now).total_seconds() * 1000))


def dump(value: LoginChallenge | SentSms) -> str:
    """A challenge as JSON. Not by asdict, whose copies take longer than all the rest.

    True is what a gateway of the release before takes for granted: it refuses a member that it does not know.
    """
    members = {name: getattr(value, name) for name in value.__slots__}
    return json.dumps({name: one for name, one in members.items() if one is not True}, default=rfc3339)


def text(reply: bytes | str | None) -> str | None:
    """A reply of redis-py, whose types know nothing of decode_responses."""
    return reply if reply is None or isinstance(reply, str) else reply.decode()
