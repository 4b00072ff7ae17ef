"""Queue in and out: the events that otp acts on."""

from collections.abc import Callable, Mapping
from typing import Any

from celery import Celery

from services.otp import reset
from services.otp.worker_deps import WorkerDeps
from shared.dead_letters import DeadLetters
from shared.event_queue import consume_events
from shared.messages import OTP_EVENTS, Message, TwoFactorResetApproved, UnreadableMessage, decode

HANDLERS: Mapping[type[Message], Callable[[WorkerDeps, Any], None]] = {TwoFactorResetApproved: reset.apply}


def register_tasks(celery: Celery, deps: WorkerDeps) -> None:
    """Put the consumer of otp.events on a Celery app."""
    consume_events(celery, OTP_EVENTS, DeadLetters(deps.redis, deps.clock), lambda document: handle(deps, document))


def handle(deps: WorkerDeps, document: object) -> None:
    """Act on one event. Raises UnreadableMessage for what is no event of ours, and store errors."""
    message = decode(document)
    handler = HANDLERS.get(type(message))
    if handler is None:
        raise UnreadableMessage(f"nobody here handles {message.TYPE}")
    handler(deps, message)
