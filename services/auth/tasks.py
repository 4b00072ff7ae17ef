"""Queue in and out: the events that the gateway acts on."""

import structlog
from celery import Celery
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.auth import events
from services.auth.deps import WorkerDeps
from shared.messages import AUTH_EVENTS, QUEUES, UnreadableMessage, decode

# Far below the broker's visibility timeout, or a waiting event would be delivered twice.
RETRY_SECONDS = 2
# While the broker is away too, publishing the retry is tried for a while: Celery drops a task whose retry it cannot
# publish.
PUBLISH_RETRY = {"max_retries": 10, "interval_start": 0.2, "interval_step": 0.2, "interval_max": 1.0}

log = structlog.get_logger("auth.tasks")


def register_tasks(celery: Celery, deps: WorkerDeps) -> None:
    """Put the consumer of auth.events on a Celery app."""

    @celery.task(  # type: ignore[untyped-decorator]
        name=QUEUES[AUTH_EVENTS],
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
    except UnreadableMessage as error:
        log.error("event dropped", cause=str(error))  # noqa: TRY400 - the trace says nothing
        return
    events.handle(deps, message)
