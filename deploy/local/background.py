"""One process for all that nobody waits for: the events of auth and otp, the notices, and the relay.

On one machine four processes more would cost 200 MB and bring nothing: they would share two cores. Where it matters,
each is a process of its own, built by the same composition roots; only the Celery app is shared here. Codes by SMS are
not among them: somebody waits for a code.
"""

import os
import signal
import threading
from typing import Any

from celery.signals import worker_ready, worker_shutting_down

from services.auth import tasks as auth_tasks
from services.auth import worker as auth_worker
from services.notify import tasks as notify_tasks
from services.notify import worker as notify_worker
from services.otp import tasks as otp_tasks
from services.otp import worker as otp_worker
from shared import relay as relay_program
from shared.log import configure_logging
from shared.queueing import make_celery
from shared.reception import equip
from shared.settings import Environment, StoreSettings

env = Environment()
configure_logging("background", env.mode())
relay = relay_program.from_environment(env)
celery = make_celery("background", StoreSettings.read(env).broker_url)
auth_tasks.register_tasks(celery, auth_worker.deps, auth_worker.gate)
otp_tasks.register_tasks(celery, otp_worker.deps, otp_worker.gate)
notify_tasks.register_tasks(celery, notify_worker.deps)
equip(celery, notify_worker.redis, notify_worker.clock)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _start(**_: Any) -> None:  # noqa: ANN401 - Celery's
    relay.start()
    threading.Thread(target=_end_with_the_relay, daemon=True).start()


def _end_with_the_relay() -> None:
    """A relay that failed takes the process with it, so that the supervisor starts both anew."""
    if not relay.join():
        os.kill(os.getpid(), signal.SIGTERM)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop(**_: Any) -> None:  # noqa: ANN401
    relay.stop()
