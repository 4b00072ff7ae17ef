"""Queue in and out: the events that otp acts on."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from celery import Celery

from services.otp import reset
from services.otp.deps import WorkerDeps
from shared.messages import OTP_EVENTS, Message, TwoFactorResetApproved, UnreadableMessage, decode
from shared.queueing import consume_events

HANDLERS: Mapping[type[Message], Callable[[WorkerDeps, Any], None]] = {TwoFactorResetApproved: reset.apply}

log = structlog.get_logger("otp.tasks")


def register_tasks(celery: Celery, deps: WorkerDeps) -> None:
    """Put the consumer of otp.events on a Celery app."""
    consume_events(celery, OTP_EVENTS, lambda document: handle(deps, document))


def handle(deps: WorkerDeps, document: object) -> None:
    """Act on one event; what nobody can read is logged and dropped, or it would come back for ever."""
    try:
        message = decode(document)
        handler = HANDLERS[type(message)]
    except (UnreadableMessage, KeyError) as error:
        log.error("event dropped", cause=str(error))  # noqa: TRY400 - the trace says nothing
        return
    handler(deps, message)
