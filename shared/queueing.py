"""Celery as all services use it: one configuration, one way to publish."""

from datetime import timedelta

from amqp.exceptions import AMQPError
from celery import Celery
from celery.app.amqp import AMQP
from celery.exceptions import OperationalError as CeleryOperationalError
from kombu.connection import Connection
from kombu.exceptions import EncodeError, KombuError, LimitExceeded
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.brokers import HEARTBEAT_SECONDS, broker_of, control_exchange
from shared.messages import KEPT_FOR, QUEUES, ROUTES, Message, UnreadableMessage
from shared.problems import Unavailable
from shared.secret import Secret
from shared.signed_messages import sign
from shared.signing import Signer

# What a publish that failed raises.
PUBLISH_ERRORS = (CeleryOperationalError, KombuError, AMQPError, OSError, RedisError)
# Far below the visibility timeout, or a waiting message would be delivered twice.
RETRY_SECONDS = 2


class _Connection(Connection):
    """Keeps our transport when it turns to the next broker of its URL; kombu's own would go on with kombu's."""

    def switch(self, conn_str: str) -> None:
        """kombu's own."""
        transport = self.transport_cls
        super().switch(conn_str)  # type: ignore[no-untyped-call]
        self.transport_cls = transport


class _Amqp(AMQP):  # type: ignore[misc]  # Celery has no types
    Connection = _Connection


def make_celery(name: str, broker_url: Secret[str], *, reply_seconds: float = 5.0) -> Celery:
    """A Celery app that acknowledges late, keeps no results and takes a task for each thread (see shared.reception).

    ``reply_seconds`` is how long the broker may take for an answer; a publish that waits longer has failed.
    """
    broker = broker_of(broker_url.reveal(), reply_seconds)
    app = Celery(name, broker=broker.url, amqp=_Amqp, task_cls=broker.task_class, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # A message holds its document once. Celery would put a readable copy into the headers, for its own logs.
        task_repr_maxlevels=1,
        task_queues=broker.queues,
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        control_exchange=control_exchange(broker_url.reveal()),
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=1.0,
        broker_connection_max_retries=None,
        broker_pool_acquire_timeout=reply_seconds,
        broker_transport=broker.transport,
        broker_heartbeat=HEARTBEAT_SECONDS,
        broker_transport_options=broker.transport_options,
        broker_use_ssl=broker.tls,
        # A caller waits for the publish, so it fails fast and says 503; the relay tries again by itself.
        task_publish_retry=False,
        enable_utc=True,
    )
    return app


class Publisher:
    """Puts a document on a queue."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def publish_to(
        self, queue: str, document: object, *, task: str | None = None, kept_for: timedelta | None = None
    ) -> None:
        """Send an encoded message to one queue, for its own task unless another is named; see KEPT_FOR.

        A task that is put back on its queue is kept for as long as it takes.

        Raises Unavailable("broker"), UnreadableMessage. Whoever hears that a message was not taken may publish it
        again; it may have been taken all the same.
        """
        if queue not in QUEUES:
            raise UnreadableMessage("for a queue that nobody serves")
        try:
            task = task or QUEUES[queue]
            try:
                self._send(queue, task, document, kept_for)
            except PUBLISH_ERRORS as error:
                if _timed_out(error):
                    raise
                # The connection was broken, which shows only when it is used: the broker may be back since long.
                self._send(queue, task, document, kept_for)
        except EncodeError as error:
            raise UnreadableMessage(f"cannot be written as JSON: {type(error).__name__}") from error
        except PUBLISH_ERRORS as error:
            raise Unavailable("broker") from error

    def _send(self, queue: str, task: str, document: object, kept_for: timedelta | None) -> None:
        expiration = kept_for.total_seconds() if kept_for else None
        with self._celery.producer_or_acquire() as producer:
            try:
                self._celery.send_task(task, args=[document], queue=queue, producer=producer, expiration=expiration)
            except PUBLISH_ERRORS:
                # Dropped without a word: the broker would have to answer a proper goodbye, and a confirmation that
                # comes late would be taken for that of the next message.
                producer.connection.collect()
                raise


class SigningPublisher(Publisher):
    """Puts this service's own messages on the queues of those who act on them, signed."""

    def __init__(self, celery: Celery, signer: Signer) -> None:
        super().__init__(celery)
        self._signer = signer

    def publish(self, message: Message) -> None:
        """Send to every queue in ROUTES. Raises Unavailable("broker") when the broker did not take it."""
        for queue in ROUTES[type(message)]:
            document = sign(message, self._signer, queue)
            self.publish_to(queue, document, kept_for=KEPT_FOR.get(type(message)))


def _timed_out(error: Exception) -> bool:
    """Whether time was lost already: another try would take the caller's."""
    return isinstance(error.__cause__ or error, TimeoutError | RedisTimeoutError | LimitExceeded)
