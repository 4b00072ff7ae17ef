"""What acting on an event takes; the worker loads no ciphers and no argon2 for it, which answering takes (deps.py)."""

from dataclasses import dataclass

from redis import Redis
from sqlalchemy import Engine

from shared.clock import Clock
from shared.signing import Signer


@dataclass(frozen=True, slots=True)
class WorkerDeps:
    """The stores, the time and what signs otp's events: all that the event worker needs.

    ``clock``: the one that all processes agree on.
    """

    database: Engine
    redis: Redis
    clock: Clock
    signer: Signer
