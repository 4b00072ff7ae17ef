"""Queue in and out: the events that otp acts on."""

from collections.abc import Callable, Mapping
from typing import Any

from celery import Celery

from services.otp import endings, reset
from services.otp.worker_deps import WorkerDeps
from shared.dead_letters import DeadLetters
from shared.event_queue import consume_events
from shared.messages import (
    OTP_EVENTS,
    AuthenticatorsReinstated,
    AuthenticatorsSuspended,
    Message,
    OpenThingsEnded,
    SessionEnded,
    TwoFactorResetApproved,
    UnreadableMessage,
)
from shared.signed_messages import Gate

HANDLERS: Mapping[type[Message], Callable[[WorkerDeps, Any], None]] = {
    TwoFactorResetApproved: reset.apply,
    AuthenticatorsSuspended: reset.suspend,
    AuthenticatorsReinstated: reset.reinstate,
    SessionEnded: endings.session_ended,
    OpenThingsEnded: endings.all_ended,
}


def register_tasks(celery: Celery, deps: WorkerDeps, gate: Gate) -> None:
    """Put the consumer of otp.events on a Celery app."""
    letters = DeadLetters(deps.redis, deps.clock)
    consume_events(celery, OTP_EVENTS, letters, lambda document: handle(deps, gate, document))


def handle(deps: WorkerDeps, gate: Gate, document: object) -> None:
    """Act on one event. Raises UnreadableMessage for what is no event for us, NotDueYet, and store errors."""
    message = gate.open(document)
    handler = HANDLERS.get(type(message))
    if handler is None:
        raise UnreadableMessage(f"nobody here handles {message.TYPE}")
    handler(deps, message)
