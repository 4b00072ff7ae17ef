"""The workers and the relay as processes of their own, which a fault can kill one by one."""

import socket
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from celery.exceptions import OperationalError
from kombu import Connection
from redis.exceptions import RedisError

from deploy.local.environment import environment_of
from deploy.local.keys import read_keys
from deploy.local.settings import ROOT
from deploy.local.stack import Stack
from shared.brokers import control_exchange
from tests.support.server import Server

# name -> (whose environment, its user in Redis, the Celery app or None for the relay, its queues, its threads)
PARTS: Mapping[str, tuple[str, str, str | None, str, int]] = {
    "codes-1": ("notify", "notify", "services.notify.worker:celery", "sms.codes,sms.receipts", 4),
    "codes-2": ("notify", "notify", "services.notify.worker:celery", "sms.codes,sms.receipts", 4),
    "notices": ("notify", "notify", "services.notify.worker:celery", "sms.notices,email.notices", 2),
    "auth-events": ("background", "auth-worker", "services.auth.worker:celery", "auth.events", 2),
    "otp-events": ("background", "otp-worker", "services.otp.worker:celery", "otp.events", 2),
    "relay": ("background", "relay", None, "", 0),
}
CODE_WORKERS = ("codes-1", "codes-2")


def start_all(servers: Sequence[Server]) -> None:
    """All at once: each takes seconds to load."""
    with ThreadPoolExecutor(len(servers)) as threads:
        list(threads.map(Server.start, servers))


def part_environment(stack: Stack, service: str) -> dict[str, str]:
    """As the stack's own programs of that service have it."""
    return {**environment_of(service, stack.settings, read_keys(stack.settings.keys_file)), "PYTHONPATH": str(ROOT)}


def part(stack: Stack, name: str, broker_url: str, **more: str) -> Server:
    """A worker or the relay, to be started. ``more`` goes into its environment."""
    service, user, app, queues, threads = PARTS[name]
    log = stack.settings.log_dir / f"{name}.log"
    environment = part_environment(stack, service) | {"REDIS_URL": stack.settings.redis_url_as(user)} | more
    if app is None:
        argv = [sys.executable, "-m", "shared.relay"]
        return Server(name=name, argv=argv, answers=lambda: True, log=log, environment=environment)
    argv = [
        *(sys.executable, "-m", "deploy.local.worker", app, "--name", name),
        *("--queues", queues, "--threads", str(threads)),
    ]
    return Server(
        name=name,
        argv=argv,
        answers=lambda: worker_answers(broker_url, name),
        log=log,
        environment=environment,
        start_seconds=60.0,
    )


def worker_answers(broker_url: str, name: str) -> bool:
    """Whether the worker of this name answers a ping through the broker."""
    node = f"{name}@{socket.gethostname()}"
    app = Celery(set_as_current=False)
    app.conf.control_exchange = control_exchange(broker_url)
    # On a connection of its own, which ends with it: Celery's pools belong to the whole process, and threads ask here.
    app.control.mailbox.producer_pool = None
    try:
        with Connection(broker_url) as connection:
            replies = app.control.broadcast(
                "ping", connection=connection, destination=[node], reply=True, timeout=1.0, limit=1
            )
            return bool(replies)
    except (OSError, OperationalError, RedisError):
        return False
    finally:
        app.close()
