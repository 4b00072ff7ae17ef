"""Composition root of the gateway: the only lines that build its real dependencies."""

import gc

from services.auth import journaled
from services.auth.app import HASHING_ROUTES, create_app
from services.auth.deps import Deps
from services.auth.guessing_metrics import GuessingCollector
from services.auth.models import RESTORES
from services.auth.otp_client import OtpClient
from services.auth.settings import AuthSettings
from shared import bulkhead, metrics_port, restores
from shared.clock import system_clock
from shared.clock_check import ServerClock
from shared.clock_metrics import ClockCollector
from shared.database import create_database
from shared.hashing import HashingPool, decoy_hash
from shared.log import configure_logging
from shared.messages import AUTH
from shared.queue_metrics import QueueCollector
from shared.queueing import SigningPublisher, make_celery
from shared.redis_client import connect
from shared.settings import SettingsError, exit_for_settings
from shared.signing import Signer
from shared.web import metrics_of

# How many requests may wait for argon2 at a time. They run on threads of their own (shared/bulkhead.py), so the request
# threads of the server (see deploy/) stay free for codes.
LOGINS_AT_A_TIME = 4
BROKER_REPLY_SECONDS = 1.5  # a caller waits for it

try:
    settings = AuthSettings.from_env()
except SettingsError as error:
    exit_for_settings(error)
configure_logging("auth", settings.mode)
hashing = HashingPool(max_waiting=LOGINS_AT_A_TIME)
decoy_hash(hashing)  # now, or the first unknown address would take twice as long as a wrong password
celery = make_celery("auth", settings.stores.broker_url, reply_seconds=BROKER_REPLY_SECONDS)
redis = connect(settings.stores.state_url)
signer = Signer(AUTH, settings.signing_keys)
clock = ServerClock(redis)  # when a login or a session ends must not depend on which gateway is asked
database = create_database(settings.database_url)
restores.exit_while_unfinished(database, RESTORES, AUTH)
journaled.keep(database, settings.journal, clock)
app = create_app(
    Deps(
        settings=settings,
        database=database,
        redis=redis,
        otp=OtpClient(settings.otp_url, settings.otp_api_key, clock),
        publisher=SigningPublisher(celery, signer),
        hashing=hashing,
        clock=clock,
        signer=signer,
    ),
    collectors=[
        QueueCollector(celery, redis, clock),
        ClockCollector(redis, system_clock),
        GuessingCollector(redis, clock, settings.guessing_floor),
    ],
)

app.extensions[bulkhead.EXTENSION] = bulkhead.Bulkhead(HASHING_ROUTES, threads=LOGINS_AT_A_TIME)

if settings.metrics is not None:
    metrics_port.serve(metrics_of(app), settings.metrics)

# What stands now stays, so no collection need walk it again: a verification pays for every walk.
gc.collect()
gc.freeze()
