"""Celery as all services use it: one configuration, one way to publish."""

from collections.abc import Callable

from amqp.exceptions import AMQPError
from celery import Celery, Task
from celery.exceptions import OperationalError as CeleryOperationalError
from celery.exceptions import Reject
from kombu.entity import Queue
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.messages import QUEUES, ROUTES, Message, encode
from shared.problems import Unavailable
from shared.secret import Secret

# How long Redis waits before it hands an unacknowledged task to another worker. Every countdown must stay far below it:
# a task that waits longer than this is delivered twice.
VISIBILITY_TIMEOUT_SECONDS = 15
# How often a worker looks for such tasks, so that a code whose worker was killed is sent again within 20 s. kombu's own
# pace is every tenth of its ten-second rounds, and a worker killed while it looks would keep all others from looking
# for five minutes.
RESTORE_EVERY_SECONDS = 5

# A store that does not answer: its event is delivered again, for as long as it takes.
STORE_ERRORS = (RedisError, DBAPIError, PoolTimeoutError)
# Far below the visibility timeout, or a waiting event would be delivered twice.
RETRY_SECONDS = 2
# While the broker is away too, publishing the retry is tried for a while: Celery drops a task whose retry it cannot
# publish.
PUBLISH_RETRY = {"max_retries": 10, "interval_start": 0.2, "interval_step": 0.2, "interval_max": 1.0}


def make_celery(name: str, broker_url: Secret[str], *, reply_seconds: float = 5.0) -> Celery:
    """A Celery app that acknowledges late, keeps no results and takes one task at a time."""
    app = Celery(name, broker=broker_url.reveal(), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # Without a key of its own, every queue is bound to the exchange under one and the same.
        task_queues=[Queue(queue, routing_key=queue) for queue in QUEUES],  # type: ignore[no-untyped-call]
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=1.0,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
            "unacked_restore_interval": RESTORE_EVERY_SECONDS,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": RESTORE_EVERY_SECONDS,
            "socket_connect_timeout": 1.0,
            "socket_timeout": reply_seconds,
        },
        # A caller waits for the publish, so it fails fast and says 503; the relay tries again by itself.
        task_publish_retry=False,
        enable_utc=True,
    )
    return app


def consume_events(celery: Celery, queue: str, handle: Callable[[object], None]) -> None:
    """Have ``handle`` act on each message of an event queue. One that meets a store error comes again.

    Not shared: a task belongs to this app and the deps behind ``handle``, not to every app of the process.
    """

    @celery.task(  # type: ignore[untyped-decorator]
        name=QUEUES[queue],
        bind=True,
        shared=False,
        acks_late=True,
        ignore_result=True,
        max_retries=None,
    )
    def handle_event(task: Task, document: object) -> None:
        try:
            handle(document)
        except STORE_ERRORS as error:
            try:
                task.retry(exc=error, countdown=RETRY_SECONDS, retry=True, retry_policy=PUBLISH_RETRY)
            except Reject as reject:
                # Celery's own drops the message when the broker does not take the retry; ours leaves it there.
                raise Reject(reject.reason, requeue=True) from None


class Publisher:
    """Puts a message on the queues of those who act on it."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def publish(self, message: Message) -> None:
        """Send to every queue in ROUTES. Raises Unavailable("broker") when the broker did not take it."""
        for queue in ROUTES[type(message)]:
            self.publish_to(queue, encode(message))

    def publish_to(self, queue: str, document: dict[str, object]) -> None:
        """Send an encoded message to one queue. Raises Unavailable("broker")."""
        try:
            self._celery.send_task(QUEUES[queue], args=[document], queue=queue)
        except (CeleryOperationalError, KombuError, AMQPError, OSError, RedisError) as error:
            raise Unavailable("broker") from error
