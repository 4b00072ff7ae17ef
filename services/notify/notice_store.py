"""Which notices went out: a lease while one is being sent, and a mark that outlives every redelivery.

The sealed text of a notice travels in its message, so unlike a code (shared/delivery.py) it needs nothing but this.
The first claim of a notice charges its budgets in the same step.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis import Redis

from shared.clock import unix_milliseconds
from shared.delivery import CHANGES, Held
from shared.ids import new_id
from shared.lua import LuaScript
from shared.messages import NoticeNotSent, compact, encode
from shared.rates import Charge

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


@dataclass(frozen=True, slots=True)
class OverBudget:
    """A budget of it is used up: this claim settled it and left the event for auth."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a notice is charged to, for whom, and by which channel ("sms", "email") it goes."""

    account_id: str
    channel: str
    charges: tuple[Charge, ...]


# The keys after the second are counters, and ARGV from the fifth on has a max and a window in milliseconds for each.
# All of them count or none does. A notice that is tried again is not charged again.
_CLAIM = LuaScript("""
local state = redis.call('HMGET', KEYS[1], 'settled', 'held_until', 'attempts')
if state[1] then return {'settled', 0} end
local now = tonumber(ARGV[1])
local held_until = tonumber(state[2] or '0')
if held_until > now then return {'held', held_until - now} end
if not state[3] then
  for i = 3, #KEYS do
    if tonumber(redis.call('GET', KEYS[i]) or '0') >= tonumber(ARGV[2 * i - 1]) then
      redis.call('HSET', KEYS[1], 'settled', '1')
      redis.call('PEXPIREAT', KEYS[1], ARGV[3])
      redis.call('RPUSH', KEYS[2], ARGV[4])
      return {'over_budget', 0}
    end
  end
  for i = 3, #KEYS do
    if redis.call('INCR', KEYS[i]) == 1 then redis.call('PEXPIRE', KEYS[i], ARGV[2 * i]) end
  end
end
redis.call('HSET', KEYS[1], 'held_until', now + tonumber(ARGV[2]))
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
return {'claimed', redis.call('HINCRBY', KEYS[1], 'attempts', 1)}
""")


def claim(
    redis: Redis, message_id: str, now: datetime, deadline: datetime, bill: Bill | None = None
) -> Claimed | Held | Settled | OverBudget:
    """Claim the notice for sending and charge it, in one step whose reply is the answer."""
    counters, limits = _counters(bill.charges if bill else ())
    reply = _CLAIM.run(
        redis,
        [_key(message_id), CHANGES, *counters],
        [
            unix_milliseconds(now),
            unix_milliseconds(now + LEASE) - unix_milliseconds(now),
            unix_milliseconds(deadline + KEPT_AFTER_DEADLINE),
            _not_sent(bill, message_id, now) if bill else "",
            *limits,
        ],
    )
    match reply:
        case ["over_budget", _]:
            return OverBudget()
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


def _counters(charges: Sequence[Charge]) -> tuple[list[str], list[int]]:
    keys = itertools.chain.from_iterable(charge.keys() for charge in charges)
    windows = [window for charge in charges for window in charge.rate.windows]
    return list(keys), [number for window in windows for number in (window.max, window.seconds * 1000)]


def _not_sent(bill: Bill, message_id: str, now: datetime) -> str:
    event = NoticeNotSent(
        id=new_id("evt"), occurred_at=now, account_id=bill.account_id, message_id=message_id, channel=bill.channel
    )
    return compact(encode(event))
