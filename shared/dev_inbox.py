"""The development inbox: what the console providers "sent", newest first. Never used in production."""

import json
from dataclasses import asdict, dataclass

from redis import Redis

KEPT = 200
_KEY = "dev:inbox"


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """One line of ``GET /dev/inbox.json``; ``channel`` is ``sms``, ``call`` or ``email``, ``sent_at`` RFC 3339.

    A call's subject is what it begins with, its body what it says after the keys.
    """

    channel: str
    to: str
    subject: str | None
    body: str
    sent_at: str
    message_id: str


def put(redis: "Redis", message: InboxMessage) -> None:
    """Add a message and forget the oldest beyond KEPT, in one step."""
    pipeline = redis.pipeline(transaction=True)
    pipeline.lpush(_KEY, json.dumps(asdict(message)))
    pipeline.ltrim(_KEY, 0, KEPT - 1)
    pipeline.execute()


def messages(redis: "Redis") -> list[InboxMessage]:
    """All messages, newest first."""
    return [InboxMessage(**json.loads(line)) for line in redis.lrange(_KEY, 0, -1)]
