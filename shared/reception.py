"""What a worker does with a message before its task sees it: refuse what is none of ours, and note that one came."""

import gc
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
from celery import Celery
from celery.exceptions import InvalidTaskError
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.exceptions import ContentDisallowed, DecodeError
from kombu.message import Message
from kombu.utils.json import dumps
from redis import Redis
from redis.exceptions import RedisError

from shared.brokers import VISIBILITY_TIMEOUT_SECONDS
from shared.canary import CANARY, PACE, Pace, Watch
from shared.clock import Clock, system_clock
from shared.dead_letters import DeadLetters
from shared.messages import QUEUES
from shared.queueing import RETRY_SECONDS
from shared.queues import queue_of

# What Celery raises on a message that its own publishers would not have made. Uncaught, it ends the worker, and the
# broker hands the same message to the next one.
MALFORMED = (
    InvalidTaskError,
    ContentDisallowed,
    DecodeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
)

# Celery's headers that our publishers leave empty. One that may expire would be dropped without a word; the others make
# a worker publish tasks, or fail where nobody hears of it.
NEVER_SET = ("expires", "shadow", "group", "stamped_headers")

# Celery's step of a worker's start that declares its delayed delivery, which no task of ours uses (shared/brokers.py).
DELAYED_DELIVERY = "celery.worker.consumer.delayed_delivery:DelayedDelivery"

# Messages that a worker has at hand beyond those that its threads are busy with. A thread that is done goes on with it;
# else it would wait until its message is acknowledged and the broker has sent another. More would gain nothing, and a
# message at hand can't go to another worker while these threads are held up.
AT_HAND = 1

# Settles a queue's document at once, when it needs no task; False leaves it to its task. Runs where messages are taken,
# so it must neither wait nor fail.
Settle = Callable[[str, object], bool]

log = structlog.get_logger("reception")


def equip(
    celery: Celery, redis: Redis, clock: Clock, *, pace: Pace = PACE, settle: Settle = lambda _queue, _document: False
) -> None:
    """Have the worker of this app keep what it can't read as dead letters, and watch itself (see shared.canary)."""
    letters, watch = DeadLetters(redis, clock), Watch(celery, redis, clock, pace=pace)
    celery.conf.worker_consumer = partial(Consumer, letters=letters, watch=watch, clock=clock, settle=settle)


def fault_of(headers: object, payload: object, queue: str | None) -> str | None:
    """Why this is no task that our publishers would put on that queue, or None. Raises TypeError.

    Ours are of Celery's protocol 2: the headers name task and id, and the payload is ``[[document], {}, {…}]``.
    """
    if not isinstance(headers, dict) or not isinstance(headers.get("id"), str):
        return "not a task: no id"
    if headers.get("task") not in (CANARY, QUEUES.get(queue or "")):
        return "the queue is not for a task of this name"
    if unknown := [name for name in NEVER_SET if headers.get(name) is not None]:
        return f"it asks for what none of our tasks does: {', '.join(unknown)}"
    match payload:
        case [[_], dict(named), dict(embedded)] if not named and not any(embedded.values()):
            return None
    return "a task takes one document, and nothing else"


def wait_of(headers: Mapping[str, Any], now: datetime) -> timedelta:
    """How long a task is to wait yet. Raises ValueError, TypeError for a time that is none.

    A wait that is longer than the broker leaves a task with a worker was set by a clock that is wrong, for nobody of
    ours asks for one: it is as long as a retry's.
    """
    if headers.get("eta") is None:
        return timedelta()
    eta = datetime.fromisoformat(headers["eta"])
    wait = (eta if eta.tzinfo else eta.replace(tzinfo=UTC)) - now
    if wait > timedelta(seconds=VISIBILITY_TIMEOUT_SECONDS):
        return timedelta(seconds=RETRY_SECONDS)
    return max(wait, timedelta())


class Consumer(CeleryConsumer):  # type: ignore[misc]  # Celery has no types
    """Celery's, which would lose such a message, or end because of it."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc]
        """Celery's own, without the step for delayed delivery."""

        default_steps = tuple(step for step in CeleryConsumer.Blueprint.default_steps if step != DELAYED_DELIVERY)

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - Celery's
        letters: DeadLetters,
        watch: Watch,
        clock: Clock,
        settle: Settle,
        **options: Any,  # noqa: ANN401 - Celery's
    ) -> None:
        self._letters = letters
        self._watch = watch
        self._clock = clock
        self._settle = settle
        super().__init__(*args, **options)
        self.initial_prefetch_count += AT_HAND

    @property
    def max_prefetch_count(self) -> int:
        """Celery's own, which it returns to some time after it connected anew."""
        return int(super().max_prefetch_count) + AT_HAND

    def on_ready(self) -> None:
        """Celery's own; then the watch begins, and what was loaded until now is garbage no more.

        To look through all of it takes 50 to 100 ms, again and again, in which no message is served.
        """
        super().on_ready()
        if not gc.get_freeze_count():  # a worker that connects anew is ready anew
            gc.collect()
            gc.freeze()
        self._watch.start([queue.name for queue in self.task_consumer.queues if queue.name in QUEUES])

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Message], None]:  # noqa: ANN401 - Celery's
        """Celery's own, behind our look at the message."""
        receive = super().create_task_handler(*args, **options)

        def on_task_received(message: Message) -> None:
            queue = queue_of(message.delivery_info.get("routing_key"))
            if queue is not None:
                self._watch.consumed(queue)
            try:
                fault = fault_of(message.headers, message.payload, queue)
                if fault is None and queue is not None and self._settle(queue, message.payload[0][0]):
                    message.ack_log_error(log, self.connection_errors)  # type: ignore[no-untyped-call]
                elif fault is None:
                    self._set_eta(message)
                    receive(message)
            except MALFORMED as error:
                fault = f"not a task that can be read: {type(error).__name__}"
            if fault is not None:
                self._set_aside(message, fault)

        return on_task_received

    def _set_eta(self, message: Message) -> None:
        """Celery waits by this machine's clock, and the time was set by another's."""
        if message.headers.get("eta") is None:  # the rule, and each look at the clock costs
            return
        wait = wait_of(message.headers, self._clock())
        message.headers["eta"] = (system_clock() + wait).isoformat() if wait else None

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Nobody can decode it."""
        self._set_aside(message, f"cannot be decoded: {type(exc).__name__}")

    def on_invalid_task(self, body: object, message: Message, exc: Exception) -> None:  # noqa: ARG002 - Celery's
        """Its headers say what no task can do."""
        self._set_aside(message, f"not a task that can be read: {type(exc).__name__}")

    def on_unknown_task(self, body: object, message: Message, exc: Exception) -> None:  # noqa: ARG002 - Celery's
        """A task of ours that this worker does not serve."""
        self._set_aside(message, "this worker does not serve its task")

    def _set_aside(self, message: Message, reason: str) -> None:
        """Keep it as a dead letter, then acknowledge it. While the store is away it stays with the broker."""
        headers = message.headers if isinstance(message.headers, dict) else {}
        task, source_id = headers.get("task"), headers.get("id")
        try:
            self._letters.keep(
                queue=queue_of(message.delivery_info.get("routing_key")) or str(message.delivery_info),
                task=task if isinstance(task, str) else None,
                document=_document(message),
                reason=reason,
                source_id=source_id if isinstance(source_id, str) else None,
            )
        except RedisError as error:
            log.warning("dead letter not kept yet", reason=reason, cause=type(error).__name__)
            # Not given back: RabbitMQ drops what was given back too often.
            self.timer.call_after(RETRY_SECONDS, self._set_aside, (message, reason))
            return
        message.ack_log_error(log, self.connection_errors)  # type: ignore[no-untyped-call]


def _document(message: Message) -> str:
    """The one document of a task as JSON text; else the whole body as it came."""
    try:
        payload = message.payload
    except MALFORMED:
        payload = None
    match payload:
        case [[document], dict(), dict()]:
            return str(dumps(document))  # type: ignore[no-untyped-call]
    body = message.body
    return bytes(body).decode(errors="backslashreplace") if isinstance(body, bytes | memoryview) else str(body)
