"""Changes of codes on a real Redis: the scripts as the server runs them, and a server that dies while one carries."""

import json

import pytest

from services.notify.events import PAUSE_AFTER_FAILURE_SECONDS, Carrier
from shared import delivery
from shared.clock import after, system_clock
from shared.delivery import DeliveryStatus, Overdue
from shared.lua import together
from shared.redis_client import connect
from shared.secret import Secret
from tests.support.redis_process import redis_process
from tests.support.signing import SIGNERS, message_in, unsigned_text


@pytest.fixture
def server():
    with redis_process() as (server, url):
        yield server, connect(Secret(url))


class Broker:
    def __init__(self):
        self.published = []
        self.then = lambda: None

    def publish_to(self, _queue, documents):
        self.published += [message_in(document) for document in documents]
        self.then()


def queued(redis, message_id, deadline):
    pipeline = redis.pipeline(transaction=True)
    text = unsigned_text(deadline)
    delivery.queue_put(pipeline, message_id, text, now=system_clock(), ttl=delivery.LEASE, account_id="acc_1")
    pipeline.execute()


def test_the_events_of_a_real_server_are_ours(server):
    _, redis = server
    now = system_clock()
    for message_id in ("msg_1", "msg_2"):
        queued(redis, message_id, after(now, -1))
    assert delivery.claim(redis, "msg_1", now, after(now, -1)) == Overdue()
    assert delivery.advance(redis, "msg_2", DeliveryStatus.SENT, now, provider="twilio")
    broker = Broker()
    assert Carrier(redis, broker, SIGNERS["notify"]).carry() == 2
    assert [(event.account_id, event.status, event.reason, event.provider) for event in broker.published] == [
        ("acc_1", "expired", "too_late", None),
        ("acc_1", "sent", None, "twilio"),
    ]
    assert redis.llen("notify:changes") == 0


def test_two_scripts_in_one_round_trip_on_a_server_that_has_forgotten_them(server):
    _, redis = server
    now = system_clock()
    queued(redis, "msg_1", after(now, 60))
    delivery.claim(redis, "msg_1", now, after(now, 60))
    for forgets in (True, False):
        if forgets:
            redis.script_flush()
        steps = [DeliveryStatus.SENT, DeliveryStatus.DELIVERED]
        assert together(redis, *(delivery.advancing("msg_1", step, now) for step in steps)) == (forgets, forgets)
    assert [json.loads(text)["status"] for text in redis.lrange("notify:changes", 0, -1)] == ["sent", "delivered"]


def test_a_refusal_of_one_script_is_raised_and_leaves_the_connection_in_step(server):
    _, redis = server
    now = system_clock()
    queued(redis, "msg_1", system_clock())
    redis.set("notify:delivery:msg_bad", "not a hash")
    with pytest.raises(Exception, match="WRONGTYPE"):
        together(
            redis,
            delivery.advancing("msg_bad", DeliveryStatus.SENT, now),
            delivery.advancing("msg_1", DeliveryStatus.SENT, now),
        )
    assert delivery.read(redis, "msg_1").status is DeliveryStatus.SENT
    assert delivery.advance(redis, "msg_1", DeliveryStatus.DELIVERED, now)


def test_a_server_that_dies_while_a_batch_is_published_costs_a_second_copy_and_no_event(server):
    process, redis = server
    queued(redis, "msg_1", system_clock())
    delivery.advance(redis, "msg_1", DeliveryStatus.SENT, system_clock())

    broker = Broker()
    broker.then = process.kill
    carrier = Carrier(redis, broker, SIGNERS["notify"])
    assert carrier.step() == PAUSE_AFTER_FAILURE_SECONDS
    broker.then = lambda: None
    process.start()
    carrier.step()
    assert [event.message_id for event in broker.published] == ["msg_1", "msg_1"]
    assert len({event.id for event in broker.published}) == 1
    assert redis.llen("notify:changes") == 0
