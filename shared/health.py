"""``python -m shared.health web | worker | relay``: whether the process beside it does its work; for health checks.

web: ``/readyz`` answers 200. worker: Celery's node of this host answers a ping through the broker. relay: no message
that is due has waited for longer than OVERDUE_SECONDS. The clock of each must be right, as ``/readyz`` has it. Exit
codes: 0 yes, 1 no (the reason is on stdout), 2 wrong usage or settings.
"""

import argparse
import http.client
import socket
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.clock import Clock, system_clock
from shared.problems import Unavailable
from shared.settings import Environment, SettingsError, StoreSettings

if TYPE_CHECKING:
    from sqlalchemy import Connection

# A check runs every few seconds beside its process, so each loads only what it asks with: Celery costs half a second of
# CPU, SQLAlchemy a third.
# ruff: noqa: PLC0415

OVERDUE_SECONDS = 30
_REPLY_SECONDS = 3.0


def web(env: Environment, clock: Clock) -> str | None:
    """What is wrong with the HTTP server on ``WEB_PORT``, or None; its ``/readyz`` looks at its own clock."""
    del clock
    port = env.integer("WEB_PORT", 8080, minimum=1)
    env.done()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_REPLY_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return None if answer.status == http.client.OK else answer.read(1000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def worker(env: Environment, clock: Clock) -> str | None:
    """What is wrong with the Celery worker of this host, or None."""
    from shared.queueing import make_celery

    stores = StoreSettings.read(env)
    env.done()
    node = f"celery@{socket.gethostname()}"
    app = make_celery("health", stores.broker_url)
    try:
        replies = app.control.broadcast("ping", destination=[node], reply=True, timeout=_REPLY_SECONDS, limit=1)
    except (OSError, *app.connection_for_read().recoverable_connection_errors) as error:
        return f"broker: {type(error).__name__}"
    finally:
        app.close()
    return clock_fault(stores, clock) if replies else f"{node} does not answer"


def relay(env: Environment, clock: Clock) -> str | None:
    """What the relay has left behind, or None."""
    from sqlalchemy.exc import SQLAlchemyError

    from shared.database import create_database, reading

    urls = {name: env.database_url(name) for name in ("AUTH_DATABASE_URL", "OTP_DATABASE_URL")}
    stores = StoreSettings.read(env)
    env.done()
    if (fault := clock_fault(stores, clock)) is not None:  # first, for what is due it would tell wrongly
        return fault
    before = clock() - timedelta(seconds=OVERDUE_SECONDS)
    for name, url in urls.items():
        try:
            with reading(create_database(url)) as connection:
                left = overdue(connection, before)
        except SQLAlchemyError as error:
            return f"{name}: {type(error).__name__}"
        if left:
            return f"{name}: {left} messages are overdue"
    return None


def clock_fault(stores: StoreSettings, clock: Clock) -> str | None:
    """What is wrong with this machine's clock, or None; also while the state Redis, which knows, does not answer."""
    from shared.clock_check import require_right_clock
    from shared.redis_client import connect

    try:
        require_right_clock(connect(stores.state_url), clock)
    except Unavailable as fault:
        return f"{fault.reason}: not that of the state Redis"
    return None


def overdue(connection: "Connection", before: datetime) -> int:
    """How many messages of this outbox were due before that moment and are not published."""
    from sqlalchemy import MetaData, func, select

    from shared.outbox import outbox_tables

    box = outbox_tables(MetaData()).outbox.c
    due_at = func.coalesce(box.not_before, box.recorded_at)
    query = select(func.count()).where(box.published_at.is_(None), due_at < before)
    return connection.execute(query).scalar_one()


CHECKS: Mapping[str, Callable[[Environment, Clock], str | None]] = {"web": web, "worker": worker, "relay": relay}


def main(arguments: list[str], clock: Clock = system_clock) -> int:
    """The check of this name, as an exit code; ``clock`` is this machine's."""
    parser = argparse.ArgumentParser(prog="python -m shared.health")
    parser.add_argument("check", choices=CHECKS)
    try:
        fault = CHECKS[parser.parse_args(arguments).check](Environment(), clock)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if fault is not None:
        sys.stdout.write(f"{fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
