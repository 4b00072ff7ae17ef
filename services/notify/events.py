"""Tell auth what became of codes and notices: carries the events that scripts leave in Redis to the broker.

The scripts are those of shared/delivery.py and notice_store.py.

At least once: what was published and not dropped is published again, and auth acts once for each event. Many travel as
one message, because a publish for each SMS would cost as much as the SMS.
"""

import json
import threading
from datetime import timedelta

import structlog
from redis import Redis
from redis.exceptions import RedisError

from shared.delivery import changes, drop_changes
from shared.ids import new_id
from shared.messages import AUTH_EVENTS, NOTIFY, SENT_BY, UnreadableMessage, decode
from shared.problems import Unavailable
from shared.queueing import Publisher
from shared.signed_messages import sign
from shared.signing import Signer

# 16 KB, a quarter of what a dead letter keeps.
BATCH = 50
# How long a change may wait for others to travel with. The status itself, which pages show, stands in Redis at once.
PAUSE_SECONDS = 0.5
PAUSE_AFTER_FAILURE_SECONDS = 1.0
# After so long without a sign of the one that carries, another process takes over.
LEASE = timedelta(seconds=5)

log = structlog.get_logger("notify.events")


class Carrier:
    """Carries in a thread of its own. Every process has one, and one of them works at a time."""

    def __init__(self, redis: Redis, publisher: Publisher, signer: Signer) -> None:
        self._redis = redis
        self._publisher = publisher
        self._signer = signer
        self._id = new_id("car")
        self._waits = False

    def start(self) -> None:
        """Carry until the process ends, whenever that is: nothing is lost by it."""
        threading.Thread(target=self._run, name="changes", daemon=True).start()

    def carry(self) -> int:
        """Publish one batch; how many events it had. Raises Unavailable("broker") and RedisError."""
        texts = changes(self._redis, self._id, LEASE, BATCH)
        if texts:
            self._publisher.publish_to(AUTH_EVENTS, [self._signed(text, AUTH_EVENTS) for text in texts])
            drop_changes(self._redis, texts)
        return len(texts)

    def step(self) -> float:
        """Carry, whatever happens; the seconds until the next time. An outage is logged once."""
        try:
            full = self.carry() == BATCH
        except (Unavailable, RedisError) as error:
            if not self._waits:
                log.warning("changes wait", cause=getattr(error, "reason", type(error).__name__))
            self._waits = True
            return PAUSE_AFTER_FAILURE_SECONDS
        except Exception:
            log.exception("changes not carried")
            return PAUSE_AFTER_FAILURE_SECONDS
        if self._waits:
            log.info("changes are carried again")
        self._waits = False
        return 0.0 if full else PAUSE_SECONDS

    def _signed(self, text: str, queue: str) -> object:
        """Sign an event that a script in Redis has written, because Redis has no key.

        A text that is no event is sent as it is: the consumer makes it a dead letter, and it blocks nothing here.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return text
        try:
            message = decode(document)
        except UnreadableMessage:
            return document
        return sign(message, self._signer, queue) if SENT_BY[type(message)] == NOTIFY else document

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self.step())
