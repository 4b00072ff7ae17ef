"""Queue in and out: the events that the gateway acts on."""

from celery import Celery

from services.auth import events
from services.auth.deps import WorkerDeps
from shared.dead_letters import DeadLetters
from shared.event_queue import consume_events
from shared.messages import AUTH_EVENTS
from shared.signed_messages import Gate


def register_tasks(celery: Celery, deps: WorkerDeps, gate: Gate) -> None:
    """Put the consumer of auth.events on a Celery app."""
    letters = DeadLetters(deps.redis, deps.clock)
    consume_events(celery, AUTH_EVENTS, letters, lambda document: handle(deps, gate, document))


def handle(deps: WorkerDeps, gate: Gate, document: object) -> None:
    """Act on one event. Raises UnreadableMessage for what is no event for us, NotDueYet, and store errors."""
    events.handle(deps, gate.open(document))
