"""The claim check of an SMS code: sealed text waits in Redis, the queue carries its id.

otp puts it in, notify claims and reports, auth reads the status. The keys and their transitions have this one home.

The script that makes a change also leaves its event for auth in a list, so neither is there without the other. notify
carries the list to the broker (services/notify/events.py).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline

from shared import delivery_scripts as scripts
from shared.clock import parse_rfc3339, rfc3339, unix_milliseconds
from shared.ids import new_id
from shared.lua import Call
from shared.messages import SmsDeliveryChanged, UnreadableMessage, compact, encode
from shared.sealed_text import SealedText

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
    """The text is ours to send until the lease ends; ``attempt`` counts from 1."""

    text: SealedText
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


_UNSENT = "notify:unsent"  # message ids by the milliseconds at which they were queued
_TOO_LATE = "too_late"  # of DeliveryReason, whose home imports this one
CHANGES = "notify:changes"  # what auth is to hear, as JSON; services/notify/notice_store.py adds to it, too
_CARRIER = "notify:changes:carrier"


def _sealed_key(message_id: str) -> str:
    return f"notify:sealed:{message_id}"


def _status_key(message_id: str) -> str:
    return f"notify:delivery:{message_id}"


def queue_put(
    pipeline: Pipeline,
    message_id: str,
    text: SealedText,
    *,
    now: datetime,
    ttl: timedelta,
    account_id: str | None = None,
) -> None:
    """Leave a sealed text for notify, inside the caller's transaction.

    With ``account_id`` the events of a delivery that nobody ever opened, such as an expired one, can name its account.
    """
    status: dict[str, str | int] = {
        "status": DeliveryStatus.QUEUED,
        "rank": 0,
        "updated_at": rfc3339(now),
        "deadline": unix_milliseconds(text.deadline),
        "signature": text.signature,
    }
    if account_id:
        status["account_id"] = account_id
    pipeline.set(_sealed_key(message_id), text.sealed, px=int(ttl.total_seconds() * 1000))
    pipeline.hset(_status_key(message_id), mapping=cast("Any", status))
    pipeline.expire(_status_key(message_id), STATUS_LIVES_FOR)
    pipeline.zremrangebyscore(_UNSENT, "-inf", unix_milliseconds(now - STATUS_LIVES_FOR))
    pipeline.zadd(_UNSENT, {message_id: unix_milliseconds(now)})


def queue_withdraw(pipeline: Pipeline, message_id: str) -> None:
    """Take the text back: superseded by a resend, already verified, or never published. A later claim finds it gone."""
    pipeline.eval(scripts.WITHDRAW, 2, _sealed_key(message_id), _UNSENT, message_id)


def claiming(message_id: str, now: datetime, deadline: datetime) -> Call[Claimed | Held | Settled | Overdue]:
    """Claim the message for sending, in one step whose reply is the answer.

    Raises UnreadableMessage when the order's deadline differs from the text's: the order was made for another text.
    """
    # By the same two numbers as the script, so the event is at hand whenever it is needed.
    at, latest = unix_milliseconds(now), unix_milliseconds(deadline)
    expired = _event(message_id, DeliveryStatus.EXPIRED, now, _TOO_LATE, None) if at >= latest else ""
    return Call(
        scripts.CLAIM,
        [_sealed_key(message_id), _status_key(message_id), _UNSENT, CHANGES],
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
        lambda reply: _read_claim(reply, deadline),
    )


def _read_claim(reply: Any, deadline: datetime) -> Claimed | Held | Settled | Overdue:  # noqa: ANN401 - the script's
    match reply:
        case ["claimed", sealed, attempt, signature]:
            return Claimed(SealedText(sealed, deadline, signature), int(attempt))
        case ["other_deadline"]:
            raise UnreadableMessage("its deadline is not that of the text")
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
        scripts.ADVANCE,
        [_sealed_key(message_id), _status_key(message_id), _UNSENT, CHANGES],
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
    reply = scripts.RELEASE.run(
        redis, [_status_key(message_id)], [rfc3339(now), claimed.attempt, unix_milliseconds(retry_at)]
    )
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
    event = SmsDeliveryChanged(
        id=new_id("evt"),
        occurred_at=now,
        account_id="",
        message_id=message_id,
        status=status,
        reason=reason,
        provider=provider,
    )
    return compact(encode(event))


def changes(redis: Redis, carrier: str, lease: timedelta, limit: int) -> list[str]:
    """The oldest events that were not carried yet, as JSON; none while another carrier's lease lasts."""
    milliseconds = int(lease.total_seconds() * 1000)
    return cast("list[str]", scripts.TAKE_CHANGES.run(redis, [CHANGES, _CARRIER], [carrier, milliseconds, limit]))


def drop_changes(redis: Redis, carried: list[str]) -> None:
    """Forget events that the broker has taken."""
    scripts.DROP_CHANGES.run(redis, [CHANGES], carried)


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
