"""What the use cases work with."""

from collections.abc import Callable
from dataclasses import dataclass

from redis import Redis

from services.notify.providers import EmailProvider
from services.notify.providers.router import SmsRouter
from shared.clock import Clock
from shared.keys import KeyList
from shared.signing import Verifier


@dataclass(frozen=True, slots=True)
class Deps:
    """Built once by the worker; ``redis`` is the state server, ``sleep`` waits inside a use case.

    ``sms_daily_cap``: all texts of a day, codes included.
    """

    redis: Redis
    sms: SmsRouter
    email: EmailProvider
    private_keys: KeyList
    verifier: Verifier
    clock: Clock
    sms_daily_cap: int
    sleep: Callable[[float], None]
