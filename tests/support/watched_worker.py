"""A worker process as operations have it: it keeps what it can't read, and watches itself, at a pace for tests."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shared.canary import Pace
from shared.clock import system_clock
from shared.dead_letters import DeadLetters
from shared.event_queue import consume_events
from shared.messages import AUTH_EVENTS
from shared.queueing import make_celery
from shared.reception import equip
from shared.redis_client import connect
from shared.secret import Secret
from tests.support.consumer import Journal
from tests.support.worker_process import worker_process

WATCHED = "TEST_WATCHED_JOURNAL"
STALLED_AFTER = "TEST_STALLED_AFTER"
STALLED_AFTER_SECONDS = 4.0


def _app():
    journal = Journal(Path(os.environ[WATCHED]))
    app, state = (
        make_celery("watched", Secret(os.environ["BROKER_URL"])),
        connect(Secret(os.environ["STATE_REDIS_URL"])),
    )

    def handle(document):
        journal.write("done", document["id"])

    consume_events(app, AUTH_EVENTS, DeadLetters(state, system_clock), handle)
    pace = Pace(beat=0.5, fresh=1.5, stalled_after=float(os.environ[STALLED_AFTER]))
    equip(app, state, system_clock, pace=pace)
    return app


if WATCHED in os.environ:
    celery = _app()


@contextlib.contextmanager
def watched_worker(
    broker_url: str,
    state_url: str,
    journal: Journal,
    name: str = "watched",
    stalled_after: float = STALLED_AFTER_SECONDS,
) -> Iterator[subprocess.Popen]:
    """A worker of two threads on auth.events; it may not have connected yet."""
    environment = {
        "BROKER_URL": broker_url,
        "STATE_REDIS_URL": state_url,
        WATCHED: str(journal.path),
        STALLED_AFTER: str(stalled_after),
    }
    log = journal.path.with_name(f"{name}.log")
    with worker_process("tests.support.watched_worker:celery", name, log, AUTH_EVENTS, 2, environment) as process:
        yield process
