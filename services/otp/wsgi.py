"""Composition root of the HTTP service: ``services.otp.wsgi:app``."""

import gc

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.otp import journaled
from services.otp.app import create_app
from services.otp.deps import make_deps
from services.otp.key_metrics import SecretsCollector
from services.otp.models import RESTORES
from services.otp.rewrapping import KeyMissing, require_keys
from services.otp.settings import OtpSettings
from services.otp.sheet_stock import SHEETS_AHEAD
from shared import metrics_port, restores
from shared.clock import system_clock
from shared.clock_check import ServerClock
from shared.clock_metrics import ClockCollector
from shared.database import create_database
from shared.hashing import HashingPool, decoy_hash
from shared.log import configure_logging
from shared.messages import OTP
from shared.redis_client import connect
from shared.settings import SettingsError, exit_for_settings
from shared.web import metrics_of

# Two of the server's four threads may wait for argon2; the others stay free for six-digit codes and health checks.
HASHING_PLACES = 2

try:
    settings = OtpSettings.from_env()
except SettingsError as error:
    exit_for_settings(error)
configure_logging("otp", settings.mode)

hashing = HashingPool(max_waiting=HASHING_PLACES)
decoy_hash(hashing)  # now, or the first backup code that stands on no sheet would take twice as long as a wrong one
database, redis = create_database(settings.database_url.reveal()), connect(settings.stores.state_url)
restores.exit_while_unfinished(database, RESTORES, OTP)
deps = make_deps(
    settings,
    database,
    redis,
    hashing,
    clock=ServerClock(redis),
    totp_clock=system_clock,
    sheets_ahead=SHEETS_AHEAD,
)
try:
    require_keys(database, deps.secret_box, system_clock)
except KeyMissing as missing:
    exit_for_settings(SettingsError([str(missing)]))
except (DBAPIError, PoolTimeoutError) as error:
    # A database that is down is /readyz's to tell and mends by itself; without its key no code is let through anyway.
    structlog.get_logger("otp.keys").warning("keys not checked", cause=type(error).__name__)
journaled.keep(database, settings.journal, deps.clock)
deps.sheets.fill()
app = create_app(
    settings,
    deps,
    collectors=[SecretsCollector(database, deps.secret_box), ClockCollector(redis, system_clock)],
)

if settings.metrics is not None:
    metrics_port.serve(metrics_of(app), settings.metrics)

# What stands now stays, so no collection need walk it again: a verification pays for every walk.
gc.collect()
gc.freeze()
