"""Queue in and out: the events that otp acts on."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from celery import Celery
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.otp import reset
from services.otp.deps import WorkerDeps
from shared.messages import OTP_EVENTS, QUEUES, Message, TwoFactorResetApproved, UnreadableMessage, decode

# Far below the broker's visibility timeout, or a waiting event would be delivered twice.
RETRY_SECONDS = 2
# While the broker is away too, publishing the retry is tried for a while: Celery drops a task whose retry it cannot
# publish.
PUBLISH_RETRY = {"max_retries": 10, "interval_start": 0.2, "interval_step": 0.2, "interval_max": 1.0}

HANDLERS: Mapping[type[Message], Callable[[WorkerDeps, Any], None]] = {TwoFactorResetApproved: reset.apply}

log = structlog.get_logger("otp.tasks")


def register_tasks(celery: Celery, deps: WorkerDeps) -> None:
    """Put the consumer of otp.events on a Celery app."""

    @celery.task(  # type: ignore[untyped-decorator]
        name=QUEUES[OTP_EVENTS],
        shared=False,  # else it would appear in every other Celery app of the process
        acks_late=True,
        ignore_result=True,
        autoretry_for=(RedisError, DBAPIError, PoolTimeoutError),
        retry_kwargs={"countdown": RETRY_SECONDS, "retry": True, "retry_policy": PUBLISH_RETRY},
        max_retries=None,
    )
    def handle_event(document: object) -> None:
        handle(deps, document)


def handle(deps: WorkerDeps, document: object) -> None:
    """Act on one event; what nobody can read is logged and dropped, or it would come back for ever."""
    try:
        message = decode(document)
        handler = HANDLERS[type(message)]
    except (UnreadableMessage, KeyError) as error:
        log.error("event dropped", cause=str(error))  # noqa: TRY400 - the trace says nothing
        return
    handler(deps, message)
