"""Queue in and out: the events that the gateway acts on."""

from celery import Celery

from services.auth import events
from services.auth.deps import WorkerDeps
from shared.dead_letters import DeadLetters
from shared.event_queue import consume_events
from shared.messages import AUTH_EVENTS, decode


def register_tasks(celery: Celery, deps: WorkerDeps) -> None:
    """Put the consumer of auth.events on a Celery app."""
    consume_events(celery, AUTH_EVENTS, DeadLetters(deps.redis, deps.clock), lambda document: handle(deps, document))


def handle(deps: WorkerDeps, document: object) -> None:
    """Act on one event. Raises UnreadableMessage for what is no event of ours, and store errors."""
    events.handle(deps, decode(document))
