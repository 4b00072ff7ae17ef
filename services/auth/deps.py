"""What the gateway's use cases work with."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Engine

from services.auth.domain.network import networks_of
from services.auth.limits import for_a_link
from services.auth.settings import AuthSettings, WorkerSettings
from shared.budgets import Charge, Rate, Taken
from shared.clock import Clock
from shared.lane import Lane
from shared.messages import Message
from shared.signing import Signer

# Not to be loaded by the event worker, which needs WorkerDeps only.
if TYPE_CHECKING:
    from redis import Redis

    from services.auth.otp_client import OtpClient
    from shared.hashing import HashingPool


class MessagePublisher(Protocol):
    """The broker: Celery's in production, a list in tests."""

    def publish(self, message: Message) -> None:
        """Put the message on its queues. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class WorkerDeps:
    """What acting on an event takes. Built by worker.py."""

    settings: WorkerSettings
    database: Engine
    redis: "Redis"
    clock: Clock
    signer: Signer


# Half of the server's request threads (see deploy/) may wait for the rating of a password.
RATINGS_AT_A_TIME = 4


def _rating_lane() -> Lane:
    return Lane("password rating", max_waiting=RATINGS_AT_A_TIME)


@dataclass(frozen=True, slots=True)
class Deps(WorkerDeps):
    """What answering a request takes. Built once by wsgi.py and passed to every use case.

    ``rating`` is the thread on which passwords are rated.
    """

    settings: AuthSettings
    otp: "OtpClient"
    publisher: MessagePublisher
    hashing: "HashingPool"
    rating: Lane = field(default_factory=_rating_lane)


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end: the IP behind the trusted proxies, and browser and system in words of ours.

    Neither is text that the client has written (``domain/network.py``, ``domain/browsers.py``).
    """

    ip: str
    browser: str


def by_network(deps: Deps, rate: Rate, ip: str) -> tuple[Charge, ...]:
    """What a try from this address is charged to: the row of its network, and for IPv6 that of its /64 besides."""
    networks = networks_of(ip)
    whole = Charge(rate, subject(deps, "ip", networks.whole))
    if networks.link is None:
        return (whole,)
    return whole, Charge(for_a_link(rate), subject(deps, "ip", networks.link))


def charged_by_network(taken: Taken, charges: tuple[Charge, ...], *, device_known: bool) -> tuple[Charge, ...]:
    """What this try was counted under, when its network may have spent those rows.

    A known device goes on all the same: it has rows of its own, and is never refused for what its neighbours do.
    Raises Refusal too_many_requests for everybody else.
    """
    if not device_known:
        taken.require()
    return charges if taken.allowed else ()


def subject(deps: Deps, kind: str, *parts: str) -> str:
    """A budget's subject that is personal data (network, email), as a keyed digest."""
    return deps.settings.digest_keys.newest.mac(kind, *parts)
