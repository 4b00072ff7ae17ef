"""The two kinds of broker, Redis and RabbitMQ, and all that differs between them for Celery."""

import math
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

from celery import Task
from kombu.entity import Exchange, Queue
from kombu.transport.base import Transport

from shared.messages import QUEUES
from shared.rabbitmq_broker import RabbitMqTransport
from shared.redis_broker import TRANSPORTS
from shared.settings import RABBITMQ_SCHEMES, Sentinels

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


@dataclass(frozen=True, slots=True)
class Broker:
    """How the two kinds of broker differ, as Celery and kombu have it."""

    url: str
    queues: list[Queue]
    transport_options: dict[str, Any]
    transport: type[Transport] | None = None  # None: kombu's own for the scheme
    tls: dict[str, Any] | bool = False
    task_class: type[Task] = Task


def broker_of(url: str, reply_seconds: float) -> Broker:
    """The broker behind a URL, which StoreSettings has checked; ``reply_seconds`` is how long it may be silent."""
    scheme = url.partition("://")[0]
    return _rabbitmq(url, reply_seconds) if scheme in RABBITMQ_SCHEMES else _redis(url, reply_seconds)


def _redis(url: str, reply_seconds: float) -> Broker:
    options: dict[str, Any] = {
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
    # A topic exchange, because Celery's delayed delivery serves no other kind.
    exchange = Exchange("latchkey", type="topic")  # type: ignore[no-untyped-call]
    return Broker(
        url=address,
        queues=[
            _QuorumQueue(queue, exchange, routing_key=queue, queue_arguments={"x-queue-type": "quorum"})  # type: ignore[no-untyped-call]
            for queue in QUEUES
        ],
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
        task_class=_WholeSecondsTask,
    )


class _QuorumQueue(Queue):
    """Declared before it is bound: a worker binds all queues for delayed delivery, and declares those it serves."""

    def bind_to(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - kombu's
        """Kombu's own, after the declaration."""
        self.queue_declare(channel=options.get("channel"))  # type: ignore[no-untyped-call]
        return super().bind_to(*args, **options)  # type: ignore[no-untyped-call]


class _WholeSecondsTask(Task):  # type: ignore[misc]
    """Countdowns are rounded up: RabbitMQ's delayed delivery counts in seconds, and Celery fails on less than one."""

    def apply_async(self, *args: Any, countdown: float | None = None, **options: Any) -> Any:  # noqa: ANN401 - Celery's
        """Celery's own, with whole seconds."""
        whole = None if countdown is None else math.ceil(countdown)
        return super().apply_async(*args, countdown=whole, **options)
