"""Composition root of the event worker: ``celery -A services.otp.worker:celery worker -Q otp.events``."""

from services.otp import journaled
from services.otp.models import RESTORES
from services.otp.settings import WorkerSettings
from services.otp.tasks import register_tasks
from services.otp.worker_deps import WorkerDeps
from shared import restores
from shared.clock_check import ServerClock
from shared.database import create_database
from shared.log import configure_logging
from shared.messages import AUTH, OTP, OTP_EVENTS
from shared.queueing import make_celery
from shared.reception import equip
from shared.redis_client import connect
from shared.settings import SettingsError, exit_for_settings
from shared.signed_messages import Gate
from shared.signing import Signer, Verifier

try:
    settings = WorkerSettings.from_env()
except SettingsError as error:
    exit_for_settings(error)
configure_logging("otp-worker", settings.mode)

celery = make_celery("otp", settings.stores.broker_url)
redis = connect(settings.stores.state_url)
deps = WorkerDeps(
    database=create_database(settings.database_url.reveal()),
    redis=redis,
    clock=ServerClock(redis),
    signer=Signer(OTP, settings.signing_keys),
)
restores.exit_while_unfinished(deps.database, RESTORES, OTP)
journaled.keep(deps.database, settings.journal, deps.clock)
gate = Gate(OTP_EVENTS, Verifier({AUTH: settings.auth_public_keys}), deps.clock)
register_tasks(celery, deps, gate)
equip(celery, redis, deps.clock)
