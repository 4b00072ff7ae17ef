"""What the use cases work with, built once in wsgi.py."""

from dataclasses import dataclass

from redis import Redis
from sqlalchemy import Engine

from services.otp.recorder import AttemptRecorder
from services.otp.secrets_box import SecretBox
from services.otp.settings import OtpSettings
from services.otp.sheet_stock import SheetStock
from services.otp.worker_deps import WorkerDeps
from shared.clock import Clock
from shared.hashing import HashingPool
from shared.keys import Key, KeyList
from shared.lane import Lane
from shared.messages import OTP
from shared.signing import Signer


@dataclass(frozen=True, slots=True)
class Deps(WorkerDeps):
    """What the event worker has, and what the HTTP service needs besides.

    ``totp_clock``: the machine's own. An app code is judged by the world's time, and Redis is no authority on that.
    ``drawing`` is the thread on which QR codes are drawn.
    """

    totp_clock: Clock
    hashing: HashingPool
    sheets: SheetStock
    drawing: Lane
    recorder: AttemptRecorder
    secret_box: SecretBox
    digest_keys: KeyList
    notify_public_key: Key
    issuer: str
    sms_host: str
    sms_daily_cap: int


# Of the server's four request threads so many may wait for a drawing; one stays free for codes.
DRAWINGS_AT_A_TIME = 3


def make_deps(
    settings: OtpSettings,
    database: Engine,
    redis: Redis,
    hashing: HashingPool,
    *,
    clock: Clock,
    totp_clock: Clock,
    sheets_ahead: int = 0,
) -> Deps:
    """The keys and names of the settings over these stores, with a recorder of their own.

    ``sheets_ahead``: how many sheets of backup codes its stock keeps ready, once it is told to fill itself.
    """
    signer = Signer(OTP, settings.signing_keys)
    return Deps(
        database=database,
        redis=redis,
        clock=clock,
        signer=signer,
        totp_clock=totp_clock,
        hashing=hashing,
        sheets=SheetStock(hashing, ahead=sheets_ahead),
        drawing=Lane("QR drawing", max_waiting=DRAWINGS_AT_A_TIME),
        recorder=AttemptRecorder(database, redis, clock, signer),
        secret_box=SecretBox(settings.secret_keys),
        digest_keys=settings.digest_keys,
        notify_public_key=settings.notify_public_key,
        issuer=settings.issuer,
        sms_host=settings.sms_host,
        sms_daily_cap=settings.sms_daily_cap,
    )
