"""Composition root of the gateway: the only lines that build its real dependencies."""

import sys

from services.auth.app import create_app
from services.auth.deps import Deps
from services.auth.otp_client import OtpClient
from services.auth.settings import AuthSettings
from shared.clock import system_clock
from shared.clock_check import ServerClock
from shared.clock_metrics import ClockCollector
from shared.database import create_database
from shared.hashing import HashingPool, decoy_hash
from shared.log import configure_logging
from shared.queue_metrics import QueueCollector
from shared.queueing import Publisher, make_celery
from shared.redis_client import connect
from shared.settings import SettingsError

# Of the server's request threads (see deploy/), so many may wait for argon2; the others are for codes.
LOGINS_AT_A_TIME = 4
BROKER_REPLY_SECONDS = 1.5  # a caller waits for it

try:
    settings = AuthSettings.from_env()
except SettingsError as error:
    sys.exit(str(error))
configure_logging("auth", settings.mode)
hashing = HashingPool(max_waiting=LOGINS_AT_A_TIME)
decoy_hash(hashing)  # now, or the first unknown address would take twice as long as a wrong password
celery = make_celery("auth", settings.stores.broker_url, reply_seconds=BROKER_REPLY_SECONDS)
redis = connect(settings.stores.state_url)
clock = ServerClock(redis)  # when a login or a session ends must not depend on which gateway is asked
app = create_app(
    Deps(
        settings=settings,
        database=create_database(settings.database_url),
        redis=redis,
        otp=OtpClient(settings.otp_url, settings.otp_api_key),
        publisher=Publisher(celery),
        hashing=hashing,
        clock=clock,
    ),
    collectors=[QueueCollector(celery, redis, clock), ClockCollector(redis, system_clock)],
)
