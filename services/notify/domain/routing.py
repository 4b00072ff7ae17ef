"""Which provider gets a message next.

The promise is: no SMS twice for one message, but for a worker that died between the provider's answer and its record.
So a provider that may have the message keeps it (``Route.at``): nobody else is asked, whatever becomes of it. "Maybe
sent" is a time-out, a connection that broke after the request was written, and answers that Twilio's own guide calls
unsafe to repeat (https://www.twilio.com/docs/api/errors/20500). What follows depends on the provider:

* one that takes the same message id twice for one SMS (``http``) is asked again, under that id, until it answers;
* any other (``twilio``) is not asked again. The message counts as sent, with the reason "the provider did not answer".
  A receipt that comes in says what became of it, and the owner can ask for a new code after 30 s.

A worker that died is the one exception: the message goes to the provider that it went to, though that may be twice.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.notify.domain.retries import FAILOVER_SECONDS, next_attempt


@dataclass(frozen=True, slots=True)
class Turn:
    """A provider's rate allows this message from that moment on."""

    provider: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Route:
    """Where one message has been.

    ``at`` has it or may have it; ``failed`` said no since everyone was asked last; ``rounds`` counts how often
    everyone, or the one that it is at, was asked in vain.
    """

    at: str | None = None
    failed: tuple[str, ...] = ()
    rounds: int = 0
    turn: Turn | None = None

    def handed_to(self, provider: str) -> "Route":
        """The provider is about to get it."""
        return replace(self, at=provider, turn=None)


def choose(order: Sequence[str], well: Collection[str], route: Route) -> str | None:
    """The provider to ask: who may have it, else who was not asked yet, the well ones first, in our order.

    None when it may be at a provider that is in use no more.
    """
    if route.at is not None:
        return route.at if route.at in order else None
    return min(order, key=lambda name: (name in route.failed, name not in well, order.index(name)))


def not_taken(route: Route, provider: str, order: Sequence[str]) -> Route:
    """The route after a provider said no, or its rate leaves no turn in time. ``route`` is that of before the send."""
    failed = (*route.failed, provider)
    if route.at is not None or set(order) <= set(failed):
        return Route(at=route.at, rounds=route.rounds + 1)
    return replace(route, failed=failed, turn=None)


def maybe_taken(route: Route, provider: str) -> Route:
    """The route after an answer was lost by a provider that can be asked again."""
    return Route(at=provider, rounds=route.rounds + 1)


def next_try(route: Route, now: datetime, deadline: datetime, delays: tuple[float, ...]) -> float | None:
    """Seconds until the next try of a route that failed; None when that would be past the deadline.

    Another provider is asked at once; the delays lie between rounds.
    """
    if route.failed:
        return next_attempt(1, now, deadline, (FAILOVER_SECONDS,))
    return next_attempt(route.rounds, now, deadline, delays)
