"""Queue in and queue out, nothing else: decode, hand to the use case, come again when it says so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog
from celery import Celery, Task
from celery.exceptions import Reject
from redis.exceptions import RedisError

from services.notify.delivery import deliver
from services.notify.deps import Deps
from services.notify.domain.retries import STORE_PAUSE_SECONDS, Again, Outcome
from services.notify.notices import deliver_notice
from services.notify.receipts import record_receipt
from shared.messages import (
    EMAIL_NOTICES,
    QUEUES,
    SMS_CODES,
    SMS_NOTICES,
    SMS_RECEIPTS,
    Message,
    RecordReceipt,
    SendEmailNotice,
    SendSmsCode,
    SendSmsNotice,
    UnreadableMessage,
    decode,
)

log = structlog.get_logger("notify.tasks")


@dataclass(frozen=True, slots=True)
class Consumer:
    """The message that a queue holds and the use case that serves it."""

    message: type[Message]
    use_case: Callable[[Deps, Any], Outcome]


CONSUMERS: Mapping[str, Consumer] = {
    SMS_CODES: Consumer(SendSmsCode, deliver),
    SMS_RECEIPTS: Consumer(RecordReceipt, record_receipt),
    SMS_NOTICES: Consumer(SendSmsNotice, deliver_notice),
    EMAIL_NOTICES: Consumer(SendEmailNotice, deliver_notice),
}


def register_tasks(celery: Celery, deps: Deps) -> None:
    """Make one task for each queue, under the name that shared.messages gives it."""
    for queue, consumer in CONSUMERS.items():
        # Not shared: a task belongs to this app and these deps, not to every app of the process.
        options = {"name": QUEUES[queue], "bind": True, "shared": False}
        celery.task(**options, acks_late=True, ignore_result=True, max_retries=None)(_task(deps, queue, consumer))


def _task(deps: Deps, queue: str, consumer: Consumer) -> Callable[[Task, object], None]:
    def run(task: Task, document: object) -> None:
        outcome = handle(deps, queue, consumer, document)
        if isinstance(outcome, Again):
            _come_again(task, queue, outcome.seconds)

    return run


def handle(deps: Deps, queue: str, consumer: Consumer, document: object) -> Outcome | None:
    """Decode and serve one message; None when it is not one that we can read.

    A store that does not answer means "again": a task that fails is acknowledged, and its message lost.
    """
    try:
        message = decode(document)
    except UnreadableMessage as error:
        log.error("message dropped", queue=queue, detail=str(error))  # noqa: TRY400 - the message, not our stack
        return None
    if type(message) is not consumer.message:
        log.error("message dropped", queue=queue, detail=f"{message.TYPE} does not belong here")
        return None
    try:
        return consumer.use_case(deps, message)
    except RedisError as error:
        log.warning("store does not answer", queue=queue, message_id=message.id, cause=type(error).__name__)
        return Again(STORE_PAUSE_SECONDS)


def _come_again(task: Task, queue: str, seconds: float) -> NoReturn:
    """Put the task back on its queue. Raises Retry, or Reject when the broker does not take it.

    Celery's own Reject drops the message; ours leaves it with the broker, which delivers it again.
    """
    try:
        raise task.retry(countdown=seconds, queue=queue)
    except Reject as error:
        raise Reject(error.reason, requeue=True) from None
