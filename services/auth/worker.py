"""Composition root of the event worker: ``celery -A services.auth.worker:celery worker -Q auth.events``.

A thread of it seals the timeline, also where ``deploy.local.background`` runs the worker together with others.
"""

import os
import signal
from typing import Any

from celery.signals import worker_ready, worker_shutting_down

from services.auth import journaled
from services.auth.deps import WorkerDeps
from services.auth.models import RESTORES
from services.auth.sealer import AuditDeps, Sealer
from services.auth.settings import AuditSettings, WorkerSettings, public_keys_from_env
from services.auth.tasks import register_tasks
from shared import restores
from shared.clock_check import ServerClock
from shared.database import create_database
from shared.log import configure_logging
from shared.messages import AUTH, AUTH_EVENTS
from shared.queueing import make_celery
from shared.reception import equip
from shared.redis_client import connect
from shared.settings import SettingsError, exit_for_settings
from shared.signed_messages import Gate
from shared.signing import Signer, Verifier

try:
    settings, audit_settings = WorkerSettings.from_env(), AuditSettings.from_env()
    public_keys = public_keys_from_env(settings.signing_keys)
except SettingsError as error:
    exit_for_settings(error)
configure_logging("auth-worker", settings.mode)

celery = make_celery("auth", settings.stores.broker_url)
redis = connect(settings.stores.state_url)
deps = WorkerDeps(
    settings=settings,
    database=create_database(settings.database_url),
    redis=redis,
    clock=ServerClock(redis),
    signer=Signer(AUTH, settings.signing_keys),
)
restores.exit_while_unfinished(deps.database, RESTORES, AUTH)
journaled.keep(deps.database, settings.journal, deps.clock)
gate = Gate(AUTH_EVENTS, Verifier(public_keys), deps.clock)
register_tasks(celery, deps, gate)
equip(celery, redis, deps.clock)
# A sealer that failed takes the process with it, so that a supervisor starts both anew.
sealer = Sealer(
    AuditDeps(deps.database, audit_settings.audit_keys, deps.clock), lambda: os.kill(os.getpid(), signal.SIGTERM)
)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _start(**_: Any) -> None:  # noqa: ANN401 - Celery's
    sealer.start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop(**_: Any) -> None:  # noqa: ANN401
    sealer.stop()
