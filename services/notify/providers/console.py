"""The development inbox in place of a carrier: what it "sends" is read at ``GET /dev/inbox.json``."""

from redis import Redis

from services.notify.providers import EmailMessage, SmsMessage
from shared import dev_inbox
from shared.clock import Clock, rfc3339


class ConsoleSms:
    """An SmsProvider for development."""

    name = "console"
    idempotent = False

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock

    def send(self, message: SmsMessage) -> str:
        """Put it into the inbox."""
        sent_at = rfc3339(self._clock())
        dev_inbox.put(
            self._redis,
            dev_inbox.InboxMessage("sms", message.to.e164, None, message.body, sent_at, message.message_id),
        )
        return message.message_id


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
