"""The two kinds of broker, Redis and RabbitMQ, and all that differs between them for Celery."""

import contextlib
import math
import ssl
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, quote

from amqp.exceptions import AccessRefused
from celery import Task
from kombu.entity import Exchange, Queue
from kombu.transport.base import Transport

from shared.messages import QUEUES
from shared.rabbitmq_broker import RabbitMqTransport
from shared.redis_broker import TRANSPORTS
from shared.store_urls import RABBITMQ_SCHEMES, Sentinels, user_of

# How long Redis waits before it hands an unacknowledged task to another worker. Every countdown must stay far below it:
# a task that waits longer than this is delivered twice.
VISIBILITY_TIMEOUT_SECONDS = 15
# How often a worker looks for such tasks, so that a code whose worker was killed is sent again within 20 s. kombu's own
# pace is every tenth of its ten-second rounds, and a worker killed while it looks would keep all others from looking
# for five minutes.
RESTORE_EVERY_SECONDS = 5
# At most so many in one look, the oldest first: a worker does nothing else meanwhile (some 40 ms).
RESTORED_AT_ONCE = 200
# RabbitMQ and its workers tell each other so often that they are there; two beats missed end the connection, and the
# broker hands the tasks of a machine that is gone to others, in time for the same promise.
HEARTBEAT_SECONDS = 10
# A publisher's new connection: one more try, at once, which with several brokers in the URL is the next one's turn.
# kombu's own pace is two seconds, and the caller's time would be over.
CONNECT_ONCE_MORE = {"max_retries": 1, "interval_start": 0.1, "interval_step": 0.0, "interval_max": 0.1}


QUEUE_ARGUMENTS = {"x-queue-type": "quorum"}
# The longest countdown of a task on RabbitMQ, in whole seconds. A longer one is shortened to it.
LONGEST_COUNTDOWN_SECONDS = VISIBILITY_TIMEOUT_SECONDS // 3


@dataclass(frozen=True, slots=True)
class Broker:
    """How the two kinds of broker differ, as Celery and kombu have it."""

    url: str
    queues: list[Queue]
    transport_options: dict[str, Any]
    transport: type[Transport] | None = None  # None: kombu's own for the scheme
    tls: dict[str, Any] | bool = False
    task_class: type[Task] = Task


def control_exchange(url: str) -> str:
    """The exchange of a worker's orders and pings: one for each user, or one service could stop another's workers."""
    return user_of(url) or "celery"


def exchange_of(queue: str) -> str:
    """RabbitMQ's exchange of one queue. It leads to no other queue, so a right to it is a right to that queue alone.

    No queue has the name of an exchange, because a right to a name covers both. A user that may write to a queue may
    bind it to other exchanges.
    """
    return f"latchkey.{queue}"


def waiting_queue(queue: str, seconds: int) -> str:
    """The name of RabbitMQ's queue in which tasks for ``queue`` wait for a countdown."""
    return f"{queue}.wait.{seconds}"


def waiting_arguments(queue: str, seconds: int) -> dict[str, Any]:
    """The arguments of a waiting queue: after so many seconds RabbitMQ moves a task to ``queue``, at least once."""
    return QUEUE_ARGUMENTS | {
        "x-overflow": "reject-publish",  # required by at-least-once
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": exchange_of(queue),
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
    }


def broker_of(url: str, reply_seconds: float) -> Broker:
    """The broker behind a URL, which StoreSettings has checked; ``reply_seconds`` is how long it may be silent."""
    scheme = url.partition("://")[0]
    return _rabbitmq(url, reply_seconds) if scheme in RABBITMQ_SCHEMES else _redis(url, reply_seconds)


def _redis(url: str, reply_seconds: float) -> Broker:
    options: dict[str, Any] = {
        # One list for each queue: our messages have no priorities, and a user's rights name the lists.
        "priority_steps": [0],
        "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
        "unacked_restore_interval": RESTORE_EVERY_SECONDS,
        "unacked_restore_limit": RESTORED_AT_ONCE,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": RESTORE_EVERY_SECONDS,
        "socket_connect_timeout": 1.0,
        "socket_timeout": reply_seconds,
    }
    scheme = url.partition("://")[0]
    if scheme == "sentinel":
        sentinels = Sentinels.parse(url)
        user, password = sentinels.username or "", sentinels.password.reveal() if sentinels.password else ""
        who = f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else ""
        url = ";".join(f"sentinel://{who}{host}:{port}/{sentinels.db}" for host, port in sentinels.hosts)
        options |= {"master_name": sentinels.master}
    return Broker(
        url=url,
        # Without a key of its own, every queue is bound to the exchange under one and the same.
        queues=[Queue(queue, routing_key=queue) for queue in QUEUES],  # type: ignore[no-untyped-call]
        transport_options=CONNECT_ONCE_MORE | options,
        transport=TRANSPORTS.get(scheme),
        # kombu's own default for rediss:// is to trust every certificate.
        tls={"ssl_cert_reqs": ssl.CERT_REQUIRED} if scheme == "rediss" else False,
    )


def _rabbitmq(url: str, reply_seconds: float) -> Broker:
    address, _, query = url.partition("?")
    ca_file = dict(parse_qsl(query)).get("ssl_ca_certs")
    return Broker(
        url=address,
        queues=[_QuorumQueue.of(queue, queue, dict(QUEUE_ARGUMENTS)) for queue in QUEUES],
        transport_options={
            **CONNECT_ONCE_MORE,
            "confirm_publish": True,
            "read_timeout": reply_seconds,
            "write_timeout": reply_seconds,
        },
        transport=None if address.startswith("amqps://") else RabbitMqTransport,
        # A server_hostname of None stands for the one that is connected to.
        tls={"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": ca_file, "server_hostname": None}
        if address.startswith("amqps://")
        else False,
        task_class=_WaitingTask,
    )


class _QuorumQueue(Queue):
    """A queue that a user without the right to declare it looks up, because a message for a missing queue is lost."""

    @classmethod
    def of(cls, queue: str, name: str, arguments: dict[str, Any]) -> Self:
        """The queue of this name, bound to the exchange of ``queue``.

        A topic exchange, because Celery publishes past a direct one, to the default exchange.
        """
        exchange = Exchange(exchange_of(queue), type="topic")  # type: ignore[no-untyped-call]
        return cls(name, exchange, routing_key=name, queue_arguments=arguments)

    def declare(self, nowait: bool = False, channel: Any = None) -> Any:  # noqa: ANN401, FBT002 - kombu's
        """Declare the queue as kombu does, or check that it exists, each on a channel of its own. Raises NotFound."""
        connection = (channel or self.channel).connection
        with contextlib.suppress(AccessRefused), connection.channel() as scratch:
            return super().declare(nowait=nowait, channel=scratch)  # type: ignore[no-untyped-call]
        with connection.channel() as scratch:
            self.queue_declare(passive=True, channel=scratch)  # type: ignore[no-untyped-call]
        return self.name


class _WaitingTask(Task):  # type: ignore[misc]
    """A task that waits for its countdown in a queue of RabbitMQ's.

    Celery's delayed delivery has one exchange for all queues. A right to it would be a right to every queue.
    """

    def apply_async(
        self,
        *args: Any,  # noqa: ANN401 - Celery's
        countdown: float | None = None,
        queue: str | None = None,
        **options: Any,  # noqa: ANN401 - Celery's
    ) -> Any:  # noqa: ANN401 - Celery's
        """Publish as Celery does. Where the call names its queue, a countdown is rounded up to whole seconds."""
        if not countdown or queue is None:
            return super().apply_async(*args, countdown=countdown, queue=queue, **options)
        seconds = min(math.ceil(countdown), LONGEST_COUNTDOWN_SECONDS)
        waiting = _QuorumQueue.of(queue, waiting_queue(queue, seconds), waiting_arguments(queue, seconds))
        return super().apply_async(*args, queue=waiting, **options)
