"""Events as Celery's worker handles them, over a broker in memory that refuses when a test says so."""

import threading
from collections import deque
from dataclasses import fields
from typing import ClassVar

import fakeredis
import pytest
from celery import current_app
from celery.concurrency.solo import TaskPool
from celery.worker.request import Request
from kombu.transport import TRANSPORT_ALIASES, memory, virtual
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.clock import system_clock
from shared.dead_letters import DeadLetters, replay
from shared.event_queue import consume_events
from shared.messages import OTP_EVENTS, QUEUES, ROUTES, SendSmsCode, SendSmsNotice, UnreadableMessage
from shared.queueing import Publisher, SigningPublisher, make_celery
from shared.secret import Secret
from tests.support.signing import SIGNERS

DOCUMENT = {"id": "evt_1"}
ERRORS = [RedisConnectionError("gone"), OperationalError("UPDATE", None, Exception("gone")), PoolTimeoutError("busy")]


class Broker(memory.Transport):
    """Takes no new message while it ``refuses``, and keeps what it has."""

    refuses = threading.Event()
    global_state = virtual.BrokerState()

    class Channel(memory.Channel):
        queues: ClassVar = {}  # its own, not those of other brokers in memory

        def basic_publish(self, *args, **kwargs):
            if Broker.refuses.is_set():
                raise RuntimeError("OOM command not allowed when used memory > 'maxmemory'")
            return super().basic_publish(*args, **kwargs)


class Worker:
    """Takes one message after the other off the queue; ``errors`` are what its handler meets, one a message."""

    def __init__(self):
        self.celery = make_celery("test", Secret("refusing://"))
        self.store = fakeredis.FakeServer()
        self.letters = DeadLetters(fakeredis.FakeStrictRedis(server=self.store, decode_responses=True), system_clock)
        consume_events(self.celery, OTP_EVENTS, self.letters, self.handle)
        self.seen, self.errors = [], deque()
        self.connection = self.celery.connection_for_read()
        self.channel = self.connection.default_channel
        self.celery.amqp.queues[OTP_EVENTS](self.channel).declare()

    def handle(self, document):
        self.seen.append(document)
        if self.errors:
            raise self.errors.popleft()

    def work(self):
        """Handle the next message; False when the queue is empty."""
        message = self.channel.basic_get(OTP_EVENTS)
        if message is None:
            return False
        Request(
            message,
            app=self.celery,
            task=self.celery.tasks[QUEUES[OTP_EVENTS]],
            on_ack=lambda *_: message.ack(),
            on_reject=lambda _log, _errors, requeue: message.reject(requeue=requeue),
        ).execute_using_pool(TaskPool())
        return True


@pytest.fixture
def worker(monkeypatch):
    monkeypatch.setitem(TRANSPORT_ALIASES, "refusing", f"{__name__}:Broker")
    Broker.refuses.clear()
    worker, others = Worker(), current_app._get_current_object()
    worker.celery.set_current()  # a worker's pool looks for its tasks there
    Publisher(worker.celery).publish_to(OTP_EVENTS, DOCUMENT)
    yield worker
    others.set_current()
    worker.channel.queue_purge(OTP_EVENTS)
    worker.connection.release()
    worker.celery.close()


def test_an_event_is_handled_once(worker):
    assert worker.work()
    assert not worker.work()
    assert worker.seen == [DOCUMENT]


def test_a_message_holds_its_document_once(worker):
    """A copy for Celery's logs would travel in the headers."""
    message = worker.channel.basic_get(OTP_EVENTS)
    assert message.payload[0] == [DOCUMENT]
    assert DOCUMENT["id"] not in str(message.headers)
    message.reject(requeue=True)


@pytest.mark.parametrize("kind", [SendSmsCode, SendSmsNotice])
def test_the_broker_is_told_how_long_to_keep_what_it_may_drop(worker, kind):
    members = {field.name: "any" for field in fields(kind)} | {
        "occurred_at": system_clock(),
        "deadline": system_clock(),
    }
    [queue] = ROUTES[kind]
    worker.celery.amqp.queues[queue](worker.channel).declare()
    SigningPublisher(worker.celery, SIGNERS["auth"]).publish(kind(**members))
    kept_for = worker.channel.basic_get(queue).properties.get("expiration")
    assert kept_for == ("300000" if kind is SendSmsCode else None)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_event_that_meets_a_store_error_comes_again(worker, error):
    worker.errors.extend([error] * 20)
    while worker.work():
        pass
    assert worker.seen == [DOCUMENT] * 21


def test_an_event_whose_retry_the_broker_refuses_is_left_on_the_queue(worker):
    worker.errors.extend([ERRORS[0]] * 2)
    Broker.refuses.set()
    assert worker.work()
    assert worker.work()
    Broker.refuses.clear()
    assert worker.work()
    assert not worker.work()
    assert worker.seen == [DOCUMENT] * 3


@pytest.mark.parametrize("error", [UnreadableMessage("version 2"), KeyError("a fault of ours")])
def test_an_event_that_nobody_can_act_on_is_set_aside_and_not_lost(worker, error):
    worker.errors.append(error)
    assert worker.work()
    assert not worker.work()
    [letter] = worker.letters.all()
    assert (letter.queue, letter.task, letter.content) == (OTP_EVENTS, QUEUES[OTP_EVENTS], DOCUMENT)


def test_a_replayed_event_is_handled(worker):
    worker.errors.append(KeyError("a fault of ours"))
    worker.work()
    replay(worker.letters, Publisher(worker.celery), worker.letters.all()[0])
    worker.work()
    assert worker.seen == [DOCUMENT] * 2
    assert worker.letters.all() == []


def test_an_event_that_cannot_be_set_aside_comes_again(worker):
    worker.errors.extend([KeyError("a fault of ours")] * 2)
    worker.store.connected = False
    worker.work()
    worker.store.connected = True
    worker.work()
    assert worker.seen == [DOCUMENT] * 2
    assert worker.letters.count() == 1


# --- batches ----------------------------------------------------------------------------------------------------------

BATCH = [{"id": "evt_2"}, {"id": "evt_3"}, {"id": "evt_4"}]


@pytest.fixture
def batch(worker):
    worker.work()
    worker.seen.clear()
    Publisher(worker.celery).publish_to(OTP_EVENTS, BATCH)
    return worker


def test_a_list_of_events_is_as_many_events_in_order(batch):
    assert batch.work()
    assert batch.seen == BATCH


def test_one_event_of_a_batch_that_nobody_can_act_on_is_a_letter_of_its_own(batch):
    batch.errors.append(UnreadableMessage("version 2"))
    batch.work()
    assert batch.seen == BATCH
    assert [letter.content for letter in batch.letters.all()] == BATCH[:1]


def test_a_batch_that_meets_a_store_error_comes_again_whole(batch):
    batch.errors.append(ERRORS[0])
    while batch.work():
        pass
    assert batch.seen == [BATCH[0], *BATCH]


def test_an_empty_list_is_no_event_and_is_not_lost(worker):
    worker.work()
    worker.errors.append(UnreadableMessage("not an object"))
    Publisher(worker.celery).publish_to(OTP_EVENTS, [])
    worker.work()
    assert [letter.content for letter in worker.letters.all()] == [[]]
