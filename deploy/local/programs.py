"""The table of what runs: one row for each process that the supervisor keeps alive."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from deploy.local.redis_server import redis_argv
from deploy.local.settings import LocalSettings


class Ready(Enum):
    """How a program shows that it works, beyond being there."""

    RUNNING = "it runs"
    HTTP = "its /readyz answers 200"
    WORKER = "its Celery worker answers a ping"


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised process: whose environment it gets, how it is started, how it shows that it is ready."""

    name: str
    service: str
    argv: Callable[[LocalSettings], list[str]]
    ready: Ready = Ready.RUNNING
    ready_url: Callable[[LocalSettings], str] | None = None


def web_argv(app: str, threads: int, host: str, port: int) -> list[str]:
    """The command line of an HTTP service; the benchmark's floor is served by the same one."""
    return [
        *(sys.executable, "-m", "deploy.local.web", app),
        *("--host", host, "--port", str(port), "--threads", str(threads)),
    ]


def _web(
    app: str, threads: int, where: Callable[[LocalSettings], tuple[str, int]]
) -> Callable[[LocalSettings], list[str]]:
    return lambda settings: web_argv(app, threads, *where(settings))


def _worker(name: str, app: str, queues: str, threads: int) -> Callable[[LocalSettings], list[str]]:
    return lambda _: [
        *(sys.executable, "-m", "deploy.local.worker", app, "--name", name),
        *("--queues", queues, "--threads", str(threads)),
    ]


def _redis(settings: LocalSettings) -> list[str]:
    return redis_argv(settings.var_dir / "redis", settings.redis_port, settings.redis_users_file)


REDIS = Program("redis", "redis", _redis)

# Codes have a worker of their own: a flood of notices must not delay a code.
SERVICES = (
    Program(
        "otp",
        "otp",
        _web("services.otp.wsgi:app", 4, lambda settings: ("127.0.0.1", settings.otp_port)),
        Ready.HTTP,
        lambda settings: f"{settings.otp_url}/readyz",
    ),
    Program(
        "auth",
        "auth",
        _web("services.auth.wsgi:app", 4, lambda settings: (settings.host, settings.port)),
        Ready.HTTP,
        lambda settings: f"{settings.base_url}/readyz",
    ),
    Program(
        "notify-codes",
        "notify",
        _worker("notify-codes", "services.notify.worker:celery", "sms.codes,sms.receipts", 8),
        Ready.WORKER,
    ),
    Program(
        "background",
        "background",
        _worker("background", "deploy.local.background:celery", "auth.events,otp.events,sms.notices,email.notices", 6),
        Ready.WORKER,
    ),
)

# Runs once at each start and prints what to open; it talks to Redis and the supervisor only.
ANNOUNCE = Program("announce", "announce", lambda _: [sys.executable, "-m", "deploy.local.announce"])


def programs_of(settings: LocalSettings) -> Sequence[Program]:
    """What runs in this stack, without the announcement: Redis is there only when it isn't somebody else's."""
    return (REDIS, *SERVICES) if settings.redis_is_embedded else SERVICES
