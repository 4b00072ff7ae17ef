"""What a task does with a document: act on it, or keep it for people to look at."""

import traceback
from collections.abc import Callable
from typing import TypeVar

import structlog
from celery import Task
from kombu.utils.json import dumps

from shared.dead_letters import DeadLetters
from shared.messages import UnreadableMessage

T = TypeVar("T")

log = structlog.get_logger("acting")


def act_or_keep(
    letters: DeadLetters,
    queue: str,
    task: Task,
    document: object,
    act: Callable[[object], T],
    store_errors: tuple[type[Exception], ...],
) -> T | None:
    """What ``act`` makes of a document; None when it is kept as a dead letter instead.

    Kept is what nobody can read, and what met a fault of ours: Celery would acknowledge it, and it would be lost.
    Raises ``store_errors``; the message is to be delivered again then.
    """
    try:
        return act(document)
    except store_errors:
        raise
    except UnreadableMessage as error:
        reason = str(error)
    except Exception as error:
        log.exception("message failed", queue=queue)
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__} in {where.name}, line {where.lineno}; the log has more"
    letters.keep(queue=queue, task=task.name, document=dumps(document), reason=reason, source_id=task.request.id)  # type: ignore[no-untyped-call]
    return None
