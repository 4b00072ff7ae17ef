"""Queue in and out: the events that the gateway acts on."""

import structlog
from celery import Celery

from services.auth import events
from services.auth.deps import WorkerDeps
from shared.messages import AUTH_EVENTS, UnreadableMessage, decode
from shared.queueing import consume_events

log = structlog.get_logger("auth.tasks")


def register_tasks(celery: Celery, deps: WorkerDeps) -> None:
    """Put the consumer of auth.events on a Celery app."""
    consume_events(celery, AUTH_EVENTS, lambda document: handle(deps, document))


def handle(deps: WorkerDeps, document: object) -> None:
    """Act on one event; what nobody can read is logged and dropped, or it would come back for ever."""
    try:
        message = decode(document)
    except UnreadableMessage as error:
        log.error("event dropped", cause=str(error))  # noqa: TRY400 - the trace says nothing
        return
    events.handle(deps, message)
