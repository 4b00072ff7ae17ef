"""The claim check of an SMS code: sealed text waits in Redis, the queue carries its id.

otp puts it in, notify claims and reports, auth reads the status. The keys and their transitions have this one home.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline

from shared.clock import parse_rfc3339, rfc3339, unix_milliseconds
from shared.lua import LuaScript

# Longer than one try may take (5 s to connect, 5 s to read), shorter than the broker's visibility timeout, so that a
# redelivered task of a killed worker finds the lease over.
LEASE = timedelta(seconds=12)
STATUS_LIVES_FOR = timedelta(hours=24)
# Far longer than any code lives: one that nobody closed by then has lost its task, and operations have seen it.
UNSENT_SEEN_FOR = timedelta(hours=1)


class DeliveryStatus(StrEnum):
    """The life of a message, in order; RANK says that it never goes backwards."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    EXPIRED = "expired"


RANK = {
    DeliveryStatus.QUEUED: 0,
    DeliveryStatus.SENDING: 1,
    DeliveryStatus.SENT: 2,
    DeliveryStatus.DELIVERED: 3,
    DeliveryStatus.UNDELIVERED: 3,
    DeliveryStatus.FAILED: 3,
    DeliveryStatus.EXPIRED: 3,
}


@dataclass(frozen=True, slots=True)
class Claimed:
    """The sealed text is ours to send until the lease ends; ``attempt`` counts from 1."""

    sealed: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Held:
    """Another worker is sending it, or the next try is due later; ask again in ``wait_seconds``."""

    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing left to send: it was sent, has failed, or its text is gone (expired, superseded, already verified)."""

    status: DeliveryStatus


@dataclass(frozen=True, slots=True)
class Overdue:
    """Nobody sent it in time, and this claim closed it as expired; ``account_id`` is None when it is not known."""

    account_id: str | None


@dataclass(frozen=True, slots=True)
class Unsent:
    """The codes that wait to be sent, or are being sent; the oldest one's age is 0 when there is none."""

    count: int
    oldest_age_seconds: float


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a page may show of a message."""

    status: DeliveryStatus
    updated_at: datetime
    reason: str | None


_CLAIM = LuaScript("""
local status = redis.call('HGET', KEYS[2], 'status') or 'queued'
if status ~= 'queued' and status ~= 'sending' then
  redis.call('ZREM', KEYS[3], ARGV[6])
  return {'settled', status}
end
local now = tonumber(ARGV[1])
local overdue = now >= tonumber(ARGV[5])
local held_until = tonumber(redis.call('HGET', KEYS[2], 'held_until') or '0')
if held_until > now and (status == 'sending' or not overdue) then return {'held', held_until - now} end
local sealed = redis.call('GET', KEYS[1])
if overdue or not sealed then
  local reason = overdue and 'too_late' or ''
  redis.call('HSET', KEYS[2], 'status', 'expired', 'rank', 3, 'updated_at', ARGV[3], 'reason', reason)
  redis.call('EXPIRE', KEYS[2], ARGV[4])
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[3], ARGV[6])
  if overdue then return {'overdue', redis.call('HGET', KEYS[2], 'account_id') or ''} end
  return {'settled', 'expired'}
end
local lease_end = now + tonumber(ARGV[2])
redis.call('HSET', KEYS[2], 'status', 'sending', 'rank', 1, 'held_until', lease_end, 'updated_at', ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return {'claimed', sealed, redis.call('HINCRBY', KEYS[2], 'attempts', 1)}
""")

_ADVANCE = LuaScript("""
local rank = redis.call('HGET', KEYS[2], 'rank')
if not rank then return 0 end
if ARGV[6] ~= '' then redis.call('HSET', KEYS[2], 'account_id', ARGV[6]) end
if tonumber(rank) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], 'status', ARGV[1], 'rank', ARGV[2], 'updated_at', ARGV[3], 'reason', ARGV[4])
redis.call('HDEL', KEYS[2], 'held_until')
redis.call('EXPIRE', KEYS[2], ARGV[5])
if tonumber(ARGV[2]) >= 2 then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[3], ARGV[7])
end
return 1
""")

_RELEASE = LuaScript("""
local claim = redis.call('HMGET', KEYS[1], 'status', 'attempts')
if claim[1] ~= 'sending' or claim[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'status', 'queued', 'rank', 0, 'updated_at', ARGV[1], 'held_until', ARGV[3])
return 1
""")


# One command, because callers count the replies of their pipelines; by its text, because it must never be NOSCRIPT.
_WITHDRAW = "redis.call('ZREM', KEYS[2], ARGV[1]) return redis.call('DEL', KEYS[1])"

_UNSENT = "notify:unsent"  # message ids by the milliseconds at which they were queued


def _sealed_key(message_id: str) -> str:
    return f"notify:sealed:{message_id}"


def _status_key(message_id: str) -> str:
    return f"notify:delivery:{message_id}"


def queue_put(
    pipeline: Pipeline, message_id: str, sealed: str, *, now: datetime, ttl: timedelta, account_id: str | None = None
) -> None:
    """Leave a sealed text for notify, inside the caller's transaction.

    With ``account_id`` the events of a delivery that nobody ever opened, such as an expired one, can name its account.
    """
    status: dict[str, str | int] = {"status": DeliveryStatus.QUEUED, "rank": 0, "updated_at": rfc3339(now)}
    if account_id:
        status["account_id"] = account_id
    pipeline.set(_sealed_key(message_id), sealed, px=int(ttl.total_seconds() * 1000))
    pipeline.hset(_status_key(message_id), mapping=cast("Any", status))
    pipeline.expire(_status_key(message_id), STATUS_LIVES_FOR)
    pipeline.zremrangebyscore(_UNSENT, "-inf", unix_milliseconds(now - UNSENT_SEEN_FOR))
    pipeline.zadd(_UNSENT, {message_id: unix_milliseconds(now)})


def queue_withdraw(pipeline: Pipeline, message_id: str) -> None:
    """Take the text back: superseded by a resend, already verified, or never published. A later claim finds it gone."""
    pipeline.eval(_WITHDRAW, 2, _sealed_key(message_id), _UNSENT, message_id)


def claim(redis: Redis, message_id: str, now: datetime, deadline: datetime) -> Claimed | Held | Settled | Overdue:
    """Claim the message for sending, in one step whose reply is the answer."""
    reply = _CLAIM.run(
        redis,
        [_sealed_key(message_id), _status_key(message_id), _UNSENT],
        [
            unix_milliseconds(now),
            int(LEASE.total_seconds() * 1000),
            rfc3339(now),
            int(STATUS_LIVES_FOR.total_seconds()),
            unix_milliseconds(deadline),
            message_id,
        ],
    )
    match reply:
        case ["claimed", sealed, attempt]:
            return Claimed(sealed, int(attempt))
        case ["held", milliseconds]:
            return Held(int(milliseconds) / 1000)
        case ["overdue", account_id]:
            return Overdue(account_id or None)
        case ["settled", status]:
            return Settled(DeliveryStatus(status))
    raise AssertionError(reply)


def advance(
    redis: Redis,
    message_id: str,
    status: DeliveryStatus,
    now: datetime,
    *,
    reason: str | None = None,
    account_id: str | None = None,
) -> bool:
    """Move the delivery forward; False when it stands there or further already, or when nothing is known of it.

    Final statuses never change. ``account_id`` is kept for those who come later and know the message by its id only.
    """
    reply = _ADVANCE.run(
        redis,
        [_sealed_key(message_id), _status_key(message_id), _UNSENT],
        [
            status,
            RANK[status],
            rfc3339(now),
            reason or "",
            int(STATUS_LIVES_FOR.total_seconds()),
            account_id or "",
            message_id,
        ],
    )
    return int(reply) == 1


def release(redis: Redis, message_id: str, claimed: Claimed, now: datetime, retry_at: datetime) -> bool:
    """Give the claim back after a try that failed; nobody tries again before ``retry_at``.

    False when the lease was over and another worker has claimed it since: its claim is left alone.
    """
    reply = _RELEASE.run(redis, [_status_key(message_id)], [rfc3339(now), claimed.attempt, unix_milliseconds(retry_at)])
    return int(reply) == 1


def account_of(redis: Redis, message_id: str) -> str | None:
    """The account that the message is for, or None when it is not known."""
    return cast("str | None", redis.hget(_status_key(message_id), "account_id"))


def read(redis: Redis, message_id: str) -> Delivery | None:
    """The delivery as it stands, or None when nothing is known of it."""
    fields = cast("dict[str, str]", redis.hgetall(_status_key(message_id)))
    if not fields:
        return None
    return Delivery(DeliveryStatus(fields["status"]), parse_rfc3339(fields["updated_at"]), fields.get("reason") or None)


def unsent(redis: Redis, now: datetime) -> Unsent:
    """How many codes were queued and neither sent nor closed since, and how long the oldest of them has waited."""
    since = unix_milliseconds(now - UNSENT_SEEN_FOR)
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.zcount(_UNSENT, since, "+inf")
        pipeline.zrangebyscore(_UNSENT, since, "+inf", start=0, num=1, withscores=True)
        count, oldest = pipeline.execute()
    age = max(0.0, (unix_milliseconds(now) - oldest[0][1]) / 1000) if oldest else 0.0
    return Unsent(int(count), age)
