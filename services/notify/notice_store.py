"""Which notices went out: a lease while one is being sent, and a mark that outlives every redelivery.

The sealed text of a notice travels in its message, so unlike a code (shared/delivery.py) it needs nothing but this.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from redis import Redis

from shared.clock import unix_milliseconds
from shared.delivery import Held
from shared.lua import LuaScript

# An SMTP conversation has several steps of 5 s each. A notice may wait a minute for a worker that was killed.
LEASE = timedelta(seconds=60)
# Kept beyond the deadline, after which a notice is dropped unasked.
KEPT_AFTER_DEADLINE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Claimed:
    """The notice is ours to send; ``attempt`` counts from 1."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Settled:
    """It was sent, or given up."""


_CLAIM = LuaScript("""
local state = redis.call('HMGET', KEYS[1], 'settled', 'held_until')
if state[1] then return {'settled', 0} end
local now = tonumber(ARGV[1])
local held_until = tonumber(state[2] or '0')
if held_until > now then return {'held', held_until - now} end
redis.call('HSET', KEYS[1], 'held_until', now + tonumber(ARGV[2]))
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
return {'claimed', redis.call('HINCRBY', KEYS[1], 'attempts', 1)}
""")


def claim(redis: Redis, message_id: str, now: datetime, deadline: datetime) -> Claimed | Held | Settled:
    """Claim the notice for sending, in one step whose reply is the answer."""
    reply = _CLAIM.run(
        redis,
        [_key(message_id)],
        [
            unix_milliseconds(now),
            unix_milliseconds(now + LEASE) - unix_milliseconds(now),
            unix_milliseconds(deadline + KEPT_AFTER_DEADLINE),
        ],
    )
    match reply:
        case ["claimed", attempt]:
            return Claimed(int(attempt))
        case ["held", milliseconds]:
            return Held(int(milliseconds) / 1000)
    return Settled()


def settle(redis: Redis, message_id: str) -> None:
    """It was sent, or is given up: never again. The time to live of the claim stays."""
    redis.hset(_key(message_id), "settled", "1")


def postpone(redis: Redis, message_id: str, retry_at: datetime) -> None:
    """The try failed; nobody tries again before ``retry_at``."""
    redis.hset(_key(message_id), "held_until", str(unix_milliseconds(retry_at)))


def _key(message_id: str) -> str:
    return f"notify:notice:{message_id}"
