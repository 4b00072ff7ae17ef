"""Composition root of the event worker: ``celery -A services.auth.worker:celery worker -Q auth.events``."""

import sys

from services.auth.deps import WorkerDeps
from services.auth.settings import WorkerSettings
from services.auth.tasks import register_tasks
from shared.clock import system_clock
from shared.database import create_database
from shared.log import configure_logging
from shared.queueing import make_celery
from shared.reception import equip
from shared.redis_client import connect
from shared.settings import SettingsError

try:
    settings = WorkerSettings.from_env()
except SettingsError as error:
    sys.exit(str(error))
configure_logging("auth-worker", settings.mode)

celery = make_celery("auth", settings.stores.broker_url)
deps = WorkerDeps(
    settings=settings,
    database=create_database(settings.database_url),
    redis=connect(settings.stores.state_url),
    clock=system_clock,
)
register_tasks(celery, deps)
equip(celery, deps.redis, deps.clock)
