"""The development inbox in place of a carrier: what it "sends" is read at ``GET /dev/inbox.json``."""

from redis import Redis

from services.notify.providers import CallMessage, EmailMessage, SmsMessage
from shared import dev_inbox
from shared.clock import Clock, rfc3339
from shared.phone import PhoneNumber


class ConsoleSms:
    """An SmsProvider for development."""

    name = "console"
    idempotent = False
    makes_calls = True

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock

    def send(self, message: SmsMessage) -> str:
        """Put it into the inbox."""
        return self._put("sms", message.message_id, message.to, None, message.body)

    def call(self, message: CallMessage) -> str:
        """Put what is said into the inbox: the opening as its subject, and as its body what is said after the keys."""
        script = message.script
        return self._put("call", message.message_id, message.to, script.opening, "\n".join(script.told))

    def _put(self, channel: str, message_id: str, to: PhoneNumber, subject: str | None, body: str) -> str:
        sent_at = rfc3339(self._clock())
        dev_inbox.put(self._redis, dev_inbox.InboxMessage(channel, to.e164, subject, body, sent_at, message_id))
        return message_id


class ConsoleEmail:
    """An EmailProvider for development."""

    name = "console"

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock

    def send(self, message: EmailMessage) -> str:
        """Put it into the inbox."""
        sent_at = rfc3339(self._clock())
        dev_inbox.put(
            self._redis,
            dev_inbox.InboxMessage("email", message.to, message.subject, message.body, sent_at, message.message_id),
        )
        return message.message_id
