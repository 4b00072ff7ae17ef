"""Poison, and a worker that takes nothing, on real brokers of both kinds."""

import json
import time
from dataclasses import dataclass

import pytest

from deploy.portal import wait_for
from shared.clock import system_clock
from shared.dead_letters import DeadLetters
from shared.messages import AUTH_EVENTS, QUEUES
from shared.queueing import make_celery
from shared.queues import read_depths
from shared.redis_client import connect
from shared.secret import Secret
from tests.support.redis_process import redis_process
from tests.support.server import Server
from tests.support.watched_worker import STALLED_AFTER_SECONDS, watched_worker

pytestmark = pytest.mark.timeout(180)

STALLED_EXIT_CODE = 70
OUTAGE_SECONDS = 14
TASK = QUEUES[AUTH_EVENTS]
ONE_DOCUMENT = b'[[{"id":"evt_poison"}],{},{}]'
JSON = "application/json"

# body, headers, content type
POISON = {
    "no headers": (b"{}", {}, JSON),
    "no id": (ONE_DOCUMENT, {"task": TASK}, JSON),
    "null": (b"null", {"task": TASK, "id": "1"}, JSON),
    "number": (b"5", {"task": TASK, "id": "2"}, JSON),
    "pair": (b"[1,2]", {"task": TASK, "id": "3"}, JSON),
    "broken JSON": (b"{", {"task": TASK, "id": "4"}, JSON),
    "deep JSON": (b"[" * 5000 + b"]" * 5000, {"task": TASK, "id": "5"}, JSON),
    "no text": (b"\xff\xfe", {"task": TASK, "id": "6"}, JSON),
    "pickle": (b"\x80\x04K\x05.", {"task": TASK, "id": "7"}, "application/x-python-serialize"),
    "unknown task": (ONE_DOCUMENT, {"task": "nobody.knows", "id": "8"}, JSON),
    "a task of Celery's": (ONE_DOCUMENT, {"task": "celery.chain", "id": "9"}, JSON),
    "a list for a task": (ONE_DOCUMENT, {"task": ["a"], "id": "10"}, JSON),
    "two arguments": (b"[[1,2],{},{}]", {"task": TASK, "id": "11"}, JSON),
    "a named argument": (b'[[1],{"a":1},{}]', {"task": TASK, "id": "12"}, JSON),
    "a callback": (b'[[1],{},{"callbacks":5}]', {"task": TASK, "id": "13"}, JSON),
    "no time": (ONE_DOCUMENT, {"task": TASK, "id": "14", "eta": "soon"}, JSON),
    "a limit that is none": (ONE_DOCUMENT, {"task": TASK, "id": "17", "timelimit": "x"}, JSON),
    "expired": (ONE_DOCUMENT, {"task": TASK, "id": "18", "expires": "2001-01-01T00:00:00"}, JSON),
    "a shadow": (ONE_DOCUMENT, {"task": TASK, "id": "19", "shadow": [1]}, JSON),
    "a document that its handler fails on": (b'[["text"],{},{}]', {"task": TASK, "id": "20"}, JSON),
}


@pytest.fixture(scope="module")
def state():
    with redis_process() as running:
        yield running


@dataclass
class World:
    """A broker, and a state Redis that may go away on its own."""

    broker: object
    state: Server
    state_url: str

    def __post_init__(self):
        self.celery = make_celery("test", Secret(self.broker.url))
        self.letters = DeadLetters(connect(Secret(self.state_url)), system_clock)

    def publish_raw(self, body, headers, content_type):
        queue = self.celery.amqp.queues[AUTH_EVENTS]
        # Not from the pool, which remembers what it declared on the same server before its data were thrown away.
        with self.celery.connection_for_write() as connection:
            connection.Producer().publish(
                body,
                declare=[queue],
                exchange=queue.exchange,
                routing_key=AUTH_EVENTS,
                headers=headers,
                content_type=content_type,
                content_encoding="utf-8" if content_type == JSON else "binary",
            )

    def worker(self, name="watched", **options):
        return watched_worker(self.broker.url, self.state_url, self.broker.journal, name, **options)


@pytest.fixture
def world(broker, state):
    server, url = state
    if not server.answers():
        server.start()
    connect(Secret(url)).flushdb()
    world = World(broker, server, url)
    yield world
    world.celery.close()


@pytest.mark.parametrize("eta", ["9999-12-31T23:59:59", "0001-01-01T00:00:00"])
def test_a_time_that_a_wrong_clock_has_set_is_not_waited_for(world, eta):
    with world.worker():
        world.publish_raw(b'[[{"id":"evt_good"}],{},{}]', {"task": TASK, "id": "1", "eta": eta}, JSON)
        world.broker.journal.wait_for("done", "evt_good")


def test_poison_ends_no_worker_blocks_no_queue_and_is_not_lost(world):
    with world.worker() as worker:
        for body, headers, content_type in POISON.values():
            world.publish_raw(body, headers, content_type)
        world.broker.publish(AUTH_EVENTS, id="evt_good")
        world.broker.journal.wait_for("done", "evt_good")
        wait_for(lambda: world.letters.count() == len(POISON))
        time.sleep(1)
        assert worker.poll() is None
        assert world.broker.journal.count("done") == {"evt_good": 1}
    depth = read_depths(world.celery)[AUTH_EVENTS]
    assert depth.in_hand in {0, None}


@pytest.mark.parametrize("broker", ["redis_broker"], ids=["redis"], indirect=True)
@pytest.mark.parametrize("item", ["garbage", "{}", "5", '{"body": 5}', json.dumps({"body": "e30=", "properties": {}})])
def test_what_was_never_a_message_ends_no_worker(world, item):
    """Only Redis takes such a thing; RabbitMQ takes messages only."""
    with world.worker() as worker:
        connect(Secret(world.broker.url)).lpush(AUTH_EVENTS, item)
        world.broker.publish(AUTH_EVENTS, id="evt_good")
        world.broker.journal.wait_for("done", "evt_good")
        [letter] = wait_for(lambda: world.letters.all() or None)
        assert letter.document == item
        assert worker.poll() is None


def test_poison_is_not_lost_while_there_is_no_place_for_it(world):
    with world.worker() as worker:
        world.broker.publish(AUTH_EVENTS, id="evt_before")
        world.broker.journal.wait_for("done", "evt_before")
        world.state.stop()
        world.publish_raw(*POISON["null"])
        time.sleep(5)
        world.state.start()
        wait_for(lambda: world.letters.count() == 1, seconds=30)
        assert worker.poll() is None


def test_a_worker_that_is_alive_and_takes_nothing_ends_and_another_goes_on(world):
    """The known fault: it is connected and answers pings."""
    with world.worker("first") as first, world.worker("second") as second:
        for number in range(8):
            world.broker.publish(AUTH_EVENTS, id=f"evt_{number}")
        for number in range(8):
            world.broker.journal.wait_for("done", f"evt_{number}")
        node = wait_for(lambda: next((name for name in nodes(world) if name.startswith("first@")), None))
        time.sleep(STALLED_AFTER_SECONDS + 2)
        assert (first.poll(), second.poll()) == (None, None)
        cancel_consumer(world, destination=[node])
        stopped = time.monotonic()
        assert first.wait(STALLED_AFTER_SECONDS + 10) == STALLED_EXIT_CODE
        assert time.monotonic() - stopped >= STALLED_AFTER_SECONDS
        world.broker.publish(AUTH_EVENTS, id="evt_after")
        world.broker.journal.wait_for("done", "evt_after")
        assert second.poll() is None


def test_a_lonely_worker_that_takes_nothing_ends_too(world):
    with world.worker() as worker:
        world.broker.publish(AUTH_EVENTS, id="evt_before")
        world.broker.journal.wait_for("done", "evt_before")
        cancel_consumer(world)
        assert worker.wait(STALLED_AFTER_SECONDS + 10) == STALLED_EXIT_CODE


def test_a_worker_outlives_an_outage_of_its_broker(world):
    """Celery's pauses between tries to connect grow by two seconds: the worker must have more time than they take."""
    with world.worker(stalled_after=OUTAGE_SECONDS - 2) as worker:
        world.broker.publish(AUTH_EVENTS, id="evt_before")
        world.broker.journal.wait_for("done", "evt_before")
        world.broker.server.kill()
        time.sleep(OUTAGE_SECONDS)
        assert worker.poll() is None
        world.broker.server.start()
        world.broker.publish(AUTH_EVENTS, id="evt_after")
        world.broker.journal.wait_for("done", "evt_after")
        assert worker.poll() is None


def nodes(world):
    with new_connection(world) as connection:
        return [name for reply in world.celery.control.ping(timeout=1.0, connection=connection) for name in reply]


def cancel_consumer(world, destination=None):
    with new_connection(world) as connection:
        world.celery.control.cancel_consumer(AUTH_EVENTS, destination=destination, connection=connection)


def new_connection(world):
    """Celery's pool, which all tests of this process share, may hold one that a restarted broker has cut."""
    return world.celery.connection_for_write()
