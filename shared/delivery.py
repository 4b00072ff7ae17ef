"""The claim check of an SMS code: sealed text waits in Redis, the queue carries its id.

otp puts it in, notify claims and reports, auth reads the status. The keys and their transitions have this one home.

What auth is to hear of a change is left in a list by the script that makes the change, so neither is there without the
other. notify carries the list to the broker (services/notify/events.py).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline

from shared.clock import parse_rfc3339, rfc3339, unix_milliseconds
from shared.ids import new_id
from shared.lua import Call, LuaScript
from shared.messages import SmsDeliveryChanged, encode_text

# Longer than one try may take (5 s to connect, 5 s to read), shorter than the broker's visibility timeout, so that a
# redelivered task of a killed worker finds the lease over.
LEASE = timedelta(seconds=12)
# So long, too, it counts as unsent while no courier is there to send or close it.
STATUS_LIVES_FOR = timedelta(hours=24)


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
    """Nobody sent it in time, and this claim closed it as expired."""


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


# Leaves the event of a change for the account of the message. Without a known account there is nobody to tell.
_TELL = """
local function tell(document)
  local account_id = redis.call('HGET', KEYS[2], 'account_id')
  if not account_id then return end
  local event = cjson.decode(document)
  event.account_id = account_id
  redis.call('RPUSH', KEYS[4], cjson.encode(event))
end
"""

_CLAIM = LuaScript(
    _TELL
    + """
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
  local reason = overdue and ARGV[8] or ''
  redis.call('HSET', KEYS[2], 'status', 'expired', 'rank', 3, 'updated_at', ARGV[3], 'reason', reason)
  redis.call('EXPIRE', KEYS[2], ARGV[4])
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[3], ARGV[6])
  if not overdue then return {'settled', 'expired'} end
  tell(ARGV[7])
  return {'overdue'}
end
local lease_end = now + tonumber(ARGV[2])
redis.call('HSET', KEYS[2], 'status', 'sending', 'rank', 1, 'held_until', lease_end, 'updated_at', ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return {'claimed', sealed, redis.call('HINCRBY', KEYS[2], 'attempts', 1)}
"""
)

_ADVANCE = LuaScript(
    _TELL
    + """
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
tell(ARGV[8])
return 1
"""
)

_RELEASE = LuaScript("""
local claim = redis.call('HMGET', KEYS[1], 'status', 'attempts')
if claim[1] ~= 'sending' or claim[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'status', 'queued', 'rank', 0, 'updated_at', ARGV[1], 'held_until', ARGV[3])
return 1
""")

# A lease, so that of many carriers one works at a time: for economy only, for who carries twice is understood once.
_TAKE_CHANGES = LuaScript("""
if (redis.call('GET', KEYS[2]) or ARGV[1]) ~= ARGV[1] then return {} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return redis.call('LRANGE', KEYS[1], 0, ARGV[3] - 1)
""")

# By value: another carrier may have dropped some of them, and what stands in their places nobody has published.
_DROP_CHANGES = LuaScript("""
for _, change in ipairs(ARGV) do redis.call('LREM', KEYS[1], 1, change) end
""")

# One command, because callers count the replies of their pipelines; by its text, because it must never be NOSCRIPT.
_WITHDRAW = "redis.call('ZREM', KEYS[2], ARGV[1]) return redis.call('DEL', KEYS[1])"

_UNSENT = "notify:unsent"  # message ids by the milliseconds at which they were queued
_TOO_LATE = "too_late"  # of DeliveryReason, whose home imports this one
_CHANGES, _CARRIER = "notify:changes", "notify:changes:carrier"


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
    pipeline.zremrangebyscore(_UNSENT, "-inf", unix_milliseconds(now - STATUS_LIVES_FOR))
    pipeline.zadd(_UNSENT, {message_id: unix_milliseconds(now)})


def queue_withdraw(pipeline: Pipeline, message_id: str) -> None:
    """Take the text back: superseded by a resend, already verified, or never published. A later claim finds it gone."""
    pipeline.eval(_WITHDRAW, 2, _sealed_key(message_id), _UNSENT, message_id)


def claiming(message_id: str, now: datetime, deadline: datetime) -> Call[Claimed | Held | Settled | Overdue]:
    """Claim the message for sending, in one step whose reply is the answer."""
    # By the same two numbers as the script, so the event is at hand whenever it is needed.
    at, latest = unix_milliseconds(now), unix_milliseconds(deadline)
    expired = _event(message_id, DeliveryStatus.EXPIRED, now, _TOO_LATE, None) if at >= latest else ""
    return Call(
        _CLAIM,
        [_sealed_key(message_id), _status_key(message_id), _UNSENT, _CHANGES],
        [
            at,
            int(LEASE.total_seconds() * 1000),
            rfc3339(now),
            int(STATUS_LIVES_FOR.total_seconds()),
            latest,
            message_id,
            expired,
            _TOO_LATE,
        ],
        _read_claim,
    )


def _read_claim(reply: Any) -> Claimed | Held | Settled | Overdue:  # noqa: ANN401 - whatever the script returns
    match reply:
        case ["claimed", sealed, attempt]:
            return Claimed(sealed, int(attempt))
        case ["held", milliseconds]:
            return Held(int(milliseconds) / 1000)
        case ["overdue"]:
            return Overdue()
        case ["settled", status]:
            return Settled(DeliveryStatus(status))
    raise AssertionError(reply)


def claim(redis: Redis, message_id: str, now: datetime, deadline: datetime) -> Claimed | Held | Settled | Overdue:
    """Claim it, and nothing else in the same round trip."""
    return claiming(message_id, now, deadline).run(redis)


def advancing(
    message_id: str,
    status: DeliveryStatus,
    now: datetime,
    *,
    reason: str | None = None,
    provider: str | None = None,
    account_id: str | None = None,
) -> Call[bool]:
    """Move the delivery forward; False when it stands there or further already, or when nothing is known of it.

    Final statuses never change. ``account_id`` is kept for those who come later and know the message by its id only.
    The account is told, with the ``provider``: None when none was asked.
    """
    return Call(
        _ADVANCE,
        [_sealed_key(message_id), _status_key(message_id), _UNSENT, _CHANGES],
        [
            status,
            RANK[status],
            rfc3339(now),
            reason or "",
            int(STATUS_LIVES_FOR.total_seconds()),
            account_id or "",
            message_id,
            _event(message_id, status, now, reason, provider),
        ],
        lambda reply: int(reply) == 1,
    )


def advance(
    redis: Redis,
    message_id: str,
    status: DeliveryStatus,
    now: datetime,
    *,
    reason: str | None = None,
    provider: str | None = None,
) -> bool:
    """Advance it, and nothing else in the same round trip."""
    return advancing(message_id, status, now, reason=reason, provider=provider).run(redis)


def release(redis: Redis, message_id: str, claimed: Claimed, now: datetime, retry_at: datetime) -> bool:
    """Give the claim back after a try that failed; nobody tries again before ``retry_at``.

    False when the lease was over and another worker has claimed it since: its claim is left alone.
    """
    reply = _RELEASE.run(redis, [_status_key(message_id)], [rfc3339(now), claimed.attempt, unix_milliseconds(retry_at)])
    return int(reply) == 1


def died_waiting(redis: Redis, limit: int) -> list[str]:
    """Of the oldest unsent messages, ``limit`` at most, those whose text has come to its end.

    Their task may be gone as well: RabbitMQ drops what waited too long, and a broker may lose its data. Whoever claims
    one with the present as its deadline closes it.
    """
    message_ids = cast("list[str]", redis.zrange(_UNSENT, 0, limit - 1))
    with redis.pipeline(transaction=False) as pipeline:
        for message_id in message_ids:
            # In this order: a text that is taken back leaves the index in the same step.
            pipeline.exists(_sealed_key(message_id))
            pipeline.zscore(_UNSENT, message_id)
        replies = pipeline.execute()
    waiting = zip(message_ids, replies[::2], replies[1::2], strict=True)
    return [message_id for message_id, has_text, queued_at in waiting if not has_text and queued_at is not None]


def _event(message_id: str, status: DeliveryStatus, now: datetime, reason: str | None, provider: str | None) -> str:
    """SmsDeliveryChanged as the queue has it; the script fills in the account."""
    return encode_text(
        SmsDeliveryChanged(
            id=new_id("evt"),
            occurred_at=now,
            account_id="",
            message_id=message_id,
            status=status,
            reason=reason,
            provider=provider,
        )
    )


def changes(redis: Redis, carrier: str, lease: timedelta, limit: int) -> list[str]:
    """The oldest events that were not carried yet, as JSON; none while another carrier's lease lasts."""
    milliseconds = int(lease.total_seconds() * 1000)
    return cast("list[str]", _TAKE_CHANGES.run(redis, [_CHANGES, _CARRIER], [carrier, milliseconds, limit]))


def drop_changes(redis: Redis, carried: list[str]) -> None:
    """Forget events that the broker has taken."""
    _DROP_CHANGES.run(redis, [_CHANGES], carried)


def read(redis: Redis, message_id: str) -> Delivery | None:
    """The delivery as it stands, or None when nothing is known of it."""
    fields = cast("dict[str, str]", redis.hgetall(_status_key(message_id)))
    if not fields:
        return None
    return Delivery(DeliveryStatus(fields["status"]), parse_rfc3339(fields["updated_at"]), fields.get("reason") or None)


def unsent(redis: Redis, now: datetime) -> Unsent:
    """How many codes were queued and neither sent nor closed since, and how long the oldest of them has waited."""
    since = unix_milliseconds(now - STATUS_LIVES_FOR)
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.zcount(_UNSENT, since, "+inf")
        pipeline.zrangebyscore(_UNSENT, since, "+inf", start=0, num=1, withscores=True)
        count, oldest = pipeline.execute()
    age = max(0.0, (unix_milliseconds(now) - oldest[0][1]) / 1000) if oldest else 0.0
    return Unsent(int(count), age)
