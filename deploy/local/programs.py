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


# On SIGHUP a new process is started, and so long after it the old one ends, whether the new one listens or not. Loading
# takes two seconds on a quiet machine; granian's own 3.5 s were too short for a busy one, and callers were turned away.
RENEWAL_SECONDS = 10.0


def web_argv(app: str, threads: int, host: str, port: int) -> list[str]:
    """The command line of an HTTP service; the benchmark's floor is served by the same one."""
    # One process, a few threads: two hops of Python share two cores, and SQLite has one writer anyway. A worker that
    # dies takes its parent with it, so that one supervisor restarts everything in one way. No --backpressure: it limits
    # connections, idle ones too, and so many kept-alive clients would shut all others out.
    return [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(port)),
        *("--workers", "1", "--blocking-threads", str(threads), "--http", "1", "--no-ws"),
        # A warm thread for as long as possible: a new one opens its own database connection.
        *("--blocking-threads-idle-timeout", "600", "--workers-kill-timeout", "5"),
        *("--respawn-interval", str(RENEWAL_SECONDS), "--log-level", "warning", app),
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


REDIS = Program("redis", "redis", lambda settings: redis_argv(settings.var_dir / "redis", settings.redis_port))

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
        _web("services.auth.wsgi:app", 8, lambda settings: (settings.host, settings.port)),
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
ANNOUNCE = Program("announce", "launcher", lambda _: [sys.executable, "-m", "deploy.local.announce"])


def programs_of(settings: LocalSettings) -> Sequence[Program]:
    """What runs in this stack, without the announcement: Redis is there only when it isn't somebody else's."""
    return (REDIS, *SERVICES) if settings.redis_is_embedded else SERVICES
