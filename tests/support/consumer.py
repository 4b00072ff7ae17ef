"""A worker process of the shared queueing alone, whose only task writes down what it was told to do.

A message asks for its own treatment: ``{"id", "fail": times, "again": seconds, "work": seconds}``.
"""

import contextlib
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import fakeredis
from celery.exceptions import Reject
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.clock import system_clock
from shared.dead_letters import DeadLetters
from shared.event_queue import consume_events
from shared.messages import AUTH_EVENTS, OTP_EVENTS, QUEUES
from shared.queueing import make_celery
from shared.reception import equip
from shared.secret import Secret
from tests.support.worker_process import worker_process

JOURNAL = "TEST_JOURNAL"


class Journal:
    """What the workers wrote, one line for each time that a message was begun or done."""

    def __init__(self, path: Path):
        self.path = path
        path.touch()

    def write(self, what: str, message_id: str) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps([what, message_id, time.time()]) + "\n")

    def lines(self) -> list[tuple[str, str, float]]:
        return [tuple(json.loads(line)) for line in self.path.read_text().splitlines()]

    def count(self, what: str) -> Counter:
        return Counter(message_id for word, message_id, _ in self.lines() if word == what)

    def times(self, what: str, message_id: str) -> list[float]:
        return [at for word, one, at in self.lines() if (word, one) == (what, message_id)]

    def wait_for(self, what: str, message_id: str, *, seconds: float = 30.0, times: int = 1) -> float:
        """Wait until it is written so often; how many seconds that took."""
        started = time.monotonic()
        while len(self.times(what, message_id)) < times:
            waited = time.monotonic() - started
            assert waited < seconds, f"{what} {message_id} did not come in {seconds} s: {self.lines()}"
            time.sleep(0.02)
        return time.monotonic() - started


def _app():
    journal = Journal(Path(os.environ[JOURNAL]))
    app = make_celery("consumer", Secret(os.environ["BROKER_URL"]))

    def handle(document):
        journal.write("begun", document["id"])
        if journal.count("begun")[document["id"]] <= document.get("fail", 0):
            raise RedisConnectionError("the store does not answer")
        time.sleep(document.get("work", 0))
        journal.write("done", document["id"])

    redis = fakeredis.FakeStrictRedis(decode_responses=True)
    letters = DeadLetters(redis, system_clock)
    equip(app, redis, system_clock)
    consume_events(app, AUTH_EVENTS, letters, handle)

    @app.task(name=QUEUES[OTP_EVENTS], bind=True, shared=False, acks_late=True, max_retries=None)
    def come_again(task, document):
        """As a courier's task does, with a countdown of its own."""
        journal.write("begun", document["id"])
        while task.request.retries < document["again_times"]:
            try:
                raise task.retry(countdown=document["again"], queue=OTP_EVENTS)
            except Reject:
                # Celery's own would drop the message here, and a courier's gives it back at once; this one is to come
                # again after its countdown, however long the broker takes to answer.
                time.sleep(0.2)
        journal.write("done", document["id"])

    return app


if JOURNAL in os.environ:
    celery = _app()


@contextlib.contextmanager
def consumer(
    broker_url: str,
    journal: Journal,
    *,
    threads: int = 1,
    name: str = "one",
    queues: str = f"{AUTH_EVENTS},{OTP_EVENTS}",
) -> Iterator[subprocess.Popen]:
    """A running worker. It may not have connected yet when this returns."""
    log, environment = journal.path.with_name(f"{name}.log"), {"BROKER_URL": broker_url, JOURNAL: str(journal.path)}
    with worker_process("tests.support.consumer:celery", name, log, queues, threads, environment) as process:
        yield process
