"""Close the codes that nobody sent in time, without a task for each.

Thousands of them may have waited behind a stopped worker, and those who live wait for them. Or their tasks are gone:
RabbitMQ drops what waited too long by itself (KEPT_FOR in shared/messages.py), and a broker may lose its data.
"""

import threading
from datetime import datetime

import structlog
from redis.exceptions import RedisError

from services.notify.delivery import log_not_sent
from services.notify.deps import Deps
from shared import delivery
from shared.delivery import Overdue, Settled
from shared.messages import SendSmsCode

# So many of the oldest in one look (some 30 ms), so often. Every process looks, and closing twice changes nothing.
LOOK_AT = 100
PAUSE_SECONDS = 2.0

log = structlog.get_logger("notify.overdue")


def close_late(deps: Deps, command: SendSmsCode) -> bool:
    """Close a code that is past its deadline; False when it is not, or is being sent. Raises RedisError."""
    now = deps.clock()
    return now >= command.deadline and _close(deps, command.message_id, now, command.deadline)


def close_dead(deps: Deps) -> int:
    """Close codes whose text came to its end; how many. Raises RedisError."""
    now = deps.clock()
    return sum(_close(deps, message_id, now, now) for message_id in delivery.died_waiting(deps.redis, LOOK_AT))


def _close(deps: Deps, message_id: str, now: datetime, deadline: datetime) -> bool:
    match delivery.claim(deps.redis, message_id, now, deadline):
        case (Overdue() | Settled()) as closed:
            log_not_sent(message_id, closed)
            return True
    return False


def start(deps: Deps) -> None:
    """Look in a thread until the process ends."""
    threading.Thread(target=_run, args=(deps,), name="overdue", daemon=True).start()


def look(deps: Deps) -> float:
    """Look once, whatever happens; the seconds until the next time."""
    try:
        return 0.0 if close_dead(deps) else PAUSE_SECONDS
    except RedisError:  # the tasks and the carrier say so
        return PAUSE_SECONDS
    except Exception:
        log.exception("overdue codes not closed")
        return PAUSE_SECONDS


def _run(deps: Deps) -> None:
    pause = threading.Event()
    while True:
        pause.wait(look(deps))
