"""Record what was done, also while the store is away for a moment."""

from collections.abc import Callable
from typing import TypeVar

import structlog
from redis.exceptions import RedisError

from services.notify.deps import Deps
from services.notify.domain.retries import RECORD_PAUSES

T = TypeVar("T")

log = structlog.get_logger("notify.recording")


def insist(deps: Deps, message_id: str, record: Callable[[], T]) -> T:
    """What ``record`` returns. Raises RedisError when the store stays away.

    The message is out already, and the lease keeps other workers from sending it again: that time is used. When it does
    not suffice the task is delivered again, and so may be the message.
    """
    for pause in RECORD_PAUSES:
        try:
            return record()
        except RedisError as error:
            log.warning("store does not answer", message_id=message_id, cause=type(error).__name__)
            deps.sleep(pause)
    try:
        return record()
    except RedisError:
        log.error("sent but not recorded", message_id=message_id, possible_duplicate=True)  # noqa: TRY400
        raise
