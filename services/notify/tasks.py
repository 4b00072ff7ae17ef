"""Queue in and queue out, nothing else: decode, hand to the use case, come again when it says so."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NoReturn

import structlog
from celery import Celery, Task
from celery.exceptions import Reject
from redis.exceptions import RedisError

from services.notify.delivery import deliver
from services.notify.deps import Deps
from services.notify.domain.retries import STORE_PAUSE_SECONDS, Again, Outcome
from services.notify.notices import deliver_notice
from services.notify.overdue import close_late
from services.notify.receipts import record_receipt
from shared.acting import act_or_keep
from shared.clock import rfc3339
from shared.dead_letters import DeadLetters
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
from shared.signed_messages import Gate, NotDueYet

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
    letters = DeadLetters(deps.redis, deps.clock)
    for queue, consumer in CONSUMERS.items():
        # Not shared: a task belongs to this app and these deps, not to every app of the process.
        options = {"name": QUEUES[queue], "bind": True, "shared": False}
        celery.task(**options, acks_late=True, ignore_result=True, max_retries=None)(
            _task(deps, letters, queue, consumer)
        )


def _task(deps: Deps, letters: DeadLetters, queue: str, consumer: Consumer) -> Callable[[Task, object], None]:
    gate = Gate(queue, deps.verifier, deps.clock)

    def run(task: Task, document: object) -> None:
        outcome: Outcome | None
        try:
            act = partial(handle, deps, gate, consumer)
            outcome = act_or_keep(letters, queue, task, document, act, (RedisError, NotDueYet))
        except (RedisError, NotDueYet) as error:
            # A task that fails is acknowledged, and its message lost.
            log.warning("message comes again", queue=queue, task_id=task.request.id, cause=type(error).__name__)
            outcome = Again(STORE_PAUSE_SECONDS)
        if isinstance(outcome, Again):
            _come_again(task, queue, outcome.seconds)

    return run


def handle(deps: Deps, gate: Gate, consumer: Consumer, document: object) -> Outcome:
    """Check and serve one message.

    Raises UnreadableMessage for what does not belong here, NotDueYet, and RedisError.
    """
    message = gate.open(document)
    if type(message) is not consumer.message:
        raise UnreadableMessage(f"{message.TYPE} does not belong here")
    return consumer.use_case(deps, message)


def settle(deps: Deps, queue: str, document: object) -> bool:
    """Close a code that came too late before it becomes a task; False for all else, which its task is to look at.

    A task costs many times what the claim does, and those who wait for a code wait for it.
    """
    if queue == SMS_CODES and _says_late(document, deps.clock()):
        with contextlib.suppress(UnreadableMessage, RedisError):
            message = decode(document)
            return isinstance(message, SendSmsCode) and close_late(deps, message)
    return False


def _says_late(document: object, now: datetime) -> bool:
    """Whether it may be a code that is past its deadline: times sort as text, and to decode each code costs more."""
    deadline = document.get("deadline") if isinstance(document, dict) else None
    return isinstance(deadline, str) and deadline <= rfc3339(now)


def _come_again(task: Task, queue: str, seconds: float) -> NoReturn:
    """Put the task back on its queue. Raises Retry, or Reject when the broker does not take it.

    Celery's own Reject drops the message; ours leaves it with the broker, which delivers it again.
    """
    try:
        raise task.retry(countdown=seconds, queue=queue)
    except Reject as error:
        raise Reject(error.reason, requeue=True) from None
