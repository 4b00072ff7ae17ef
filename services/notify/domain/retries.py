"""When to try again: tables of delays, and the law that no try comes after the deadline."""

from dataclasses import dataclass
from datetime import datetime, timedelta

# A countdown waits inside a worker, unacknowledged. It must stay far below the broker's visibility timeout, or the
# task is delivered a second time while it waits; a longer delay is a row of such hops.
LONGEST_HOP_SECONDS = 5.0
SHORTEST_HOP_SECONDS = 0.1

# The delay after the first failed try, the second, …; the last one repeats until the deadline.
CODE_DELAYS = (1.0, 2.0, 3.0, 5.0)
# The provider may have taken the message and lost its answer, and can be asked again (domain/routing.py).
MAYBE_SENT_DELAYS = (5.0, 10.0)
# One provider said no: ask the next.
FAILOVER_SECONDS = SHORTEST_HOP_SECONDS
NOTICE_DELAYS = (2.0, 5.0, 15.0, 60.0, 300.0)
# A notice that has no turn at a provider asks again, and does not wait in line: codes go first.
NOTICE_TURN_SECONDS = 2.0
# The store does not answer: nothing was claimed, so nothing counts as a try.
STORE_PAUSE_SECONDS = 2.0
# Tries to record a message that was sent, while the lease keeps other workers from sending it again.
RECORD_PAUSES = (0.2, 0.5, 1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Done:
    """The task is over, whatever became of its message."""


@dataclass(frozen=True, slots=True)
class Again:
    """Deliver the same task again in ``seconds``, which never exceed LONGEST_HOP_SECONDS."""

    seconds: float


Outcome = Done | Again
DONE = Done()


def next_attempt(attempt: int, now: datetime, deadline: datetime, delays: tuple[float, ...]) -> float | None:
    """Seconds until the next try after ``attempt`` (from 1) failed, or None when that would be past the deadline."""
    delay = delays[min(attempt, len(delays)) - 1]
    return delay if now + timedelta(seconds=delay) < deadline else None


def hop(seconds: float) -> Again:
    """Wait that long, or as much of it as one hop may take."""
    return Again(min(max(seconds, SHORTEST_HOP_SECONDS), LONGEST_HOP_SECONDS))
