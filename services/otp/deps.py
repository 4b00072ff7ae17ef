"""What the use cases work with, built once in wsgi.py or worker.py."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis import Redis
from sqlalchemy import Engine

from shared.clock import Clock
from shared.keys import Key, KeyList

# Not to be loaded by the event worker, which needs the first of these classes only.
if TYPE_CHECKING:
    from services.otp.recorder import AttemptRecorder
    from services.otp.secrets_box import SecretBox
    from shared.hashing import HashingPool


@dataclass(frozen=True, slots=True)
class WorkerDeps:
    """The stores and the time: all that the event worker needs."""

    database: Engine
    redis: Redis
    clock: Clock


@dataclass(frozen=True, slots=True)
class Deps(WorkerDeps):
    """The same and what the HTTP service needs besides."""

    hashing: "HashingPool"
    recorder: "AttemptRecorder"
    secret_box: "SecretBox"
    digest_keys: KeyList
    notify_public_key: Key
    issuer: str
    sms_host: str
    sms_daily_cap: int
