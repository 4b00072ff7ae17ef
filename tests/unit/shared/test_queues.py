from datetime import UTC, datetime, timedelta

import fakeredis
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from shared import delivery
from shared.clock import after
from shared.dead_letters import DeadLetters
from shared.delivery import STATUS_LIVES_FOR, DeliveryStatus, Unsent
from shared.messages import AUTH_EVENTS, QUEUES, SMS_CODES, SMS_NOTICES
from shared.problems import Unavailable
from shared.queue_metrics import QueueCollector
from shared.queueing import Publisher, make_celery
from shared.queues import Backlog, Depth, note_consumed, queue_of, read_backlog, read_depths, report
from shared.scraping import READ_EVERY_SECONDS
from shared.secret import Secret
from tests.support.signing import unsigned_text

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOBODY = "redis://127.0.0.1:1/0"


class World:
    """State in a fake Redis, a broker in memory, and a clock to turn."""

    def __init__(self):
        self.now = START
        self.server = fakeredis.FakeServer()
        self.redis = fakeredis.FakeStrictRedis(server=self.server, decode_responses=True)
        self.celery = make_celery("test", Secret("memory://"))

    def clock(self):
        return self.now

    def turn(self, seconds):
        self.now += timedelta(seconds=seconds)

    def code(self, message_id="msg_1"):
        with self.redis.pipeline() as pipeline:
            delivery.queue_put(
                pipeline, message_id, unsigned_text(after(START, 300)), now=self.now, ttl=timedelta(days=1)
            )
            pipeline.execute()

    def claim(self, message_id="msg_1"):
        return delivery.claim(self.redis, message_id, self.now, after(START, 300))

    def unsent(self):
        return delivery.unsent(self.redis, self.now)


@pytest.fixture
def world():
    world = World()
    yield world
    with world.celery.connection_for_write() as connection:
        for queue in world.celery.amqp.queues.values():
            bound = queue(connection.default_channel)
            bound.declare()
            bound.purge()
    world.celery.close()


# --- which queue ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("queue", QUEUES)
def test_a_message_that_came_late_is_still_of_its_queue(queue):
    assert queue_of(queue) == queue
    assert queue_of("0.0.0.1.0.1." + queue) == queue


@pytest.mark.parametrize("routing_key", ["", "celery", "codes", "not" + SMS_CODES, None, 5])
def test_another_routing_key_is_of_no_queue(routing_key):
    assert queue_of(routing_key) is None


# --- depths -----------------------------------------------------------------------------------------------------------


def test_a_queue_is_as_deep_as_messages_wait_in_it(world):
    for _ in range(3):
        Publisher(world.celery).publish_to(SMS_CODES, {})
    depths = read_depths(world.celery)
    assert depths.keys() == QUEUES.keys()
    assert (depths[SMS_CODES].waiting, depths[SMS_NOTICES].waiting) == (3, 0)


def test_a_broker_that_is_away_is_said_to_be():
    with pytest.raises(Unavailable):
        read_depths(make_celery("test", Secret(NOBODY), reply_seconds=0.5))


# --- the oldest unsent code -------------------------------------------------------------------------------------------


def test_without_codes_none_is_unsent(world):
    assert world.unsent() == Unsent(0, 0.0)


def test_the_oldest_unsent_code_is_the_first_that_was_queued(world):
    world.code("msg_1")
    world.turn(2)
    world.code("msg_2")
    world.turn(3)
    assert world.unsent() == Unsent(2, 5.0)


def test_a_code_that_is_being_sent_is_unsent(world):
    world.code()
    world.turn(4)
    world.claim()
    assert world.unsent() == Unsent(1, 4.0)


@pytest.mark.parametrize("status", ["sent", "delivered", "undelivered", "failed", "expired"])
def test_a_code_that_was_sent_or_given_up_is_not(world, status):
    world.code()
    delivery.advance(world.redis, "msg_1", DeliveryStatus(status), world.now)
    assert world.unsent() == Unsent(0, 0.0)


def test_a_code_that_goes_back_to_the_queue_is_as_old_as_before(world):
    world.code()
    claimed = world.claim()
    world.turn(6)
    delivery.release(world.redis, "msg_1", claimed, world.now, world.now)
    assert world.unsent() == Unsent(1, 6.0)


def test_an_overdue_code_is_not(world):
    world.code()
    world.turn(301)
    world.claim()
    assert world.unsent() == Unsent(0, 0.0)


def test_a_withdrawn_code_is_not(world):
    world.code()
    with world.redis.pipeline() as pipeline:
        delivery.queue_withdraw(pipeline, "msg_1")
        assert pipeline.execute() == [1]  # callers count on one reply: whether the text was there
    assert world.unsent() == Unsent(0, 0.0)


def test_a_code_whose_text_is_gone_is_not(world):
    world.code()
    world.redis.delete("notify:sealed:msg_1")
    world.claim()
    assert world.unsent() == Unsent(0, 0.0)


def test_a_code_that_nobody_is_there_to_close_is_seen_for_as_long_as_its_status_and_then_forgotten(world):
    world.code()
    world.turn(STATUS_LIVES_FOR.total_seconds())
    assert world.unsent() == Unsent(1, STATUS_LIVES_FOR.total_seconds())
    world.turn(1)
    assert world.unsent() == Unsent(0, 0.0)
    world.code("msg_2")
    assert world.redis.zcard("notify:unsent") == 1


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_queue_and_says_what_it_does_not_know():
    backlog = Backlog(Unsent(2, 7.25), 3, {SMS_CODES: 4.0})
    lines = report({queue: Depth(1, None) for queue in QUEUES}, backlog).splitlines()
    assert lines[1].split() == [SMS_CODES, "1", "?", "4", "s", "ago"]
    assert lines[2].split()[-1] == "never"
    assert lines[-2:] == ["unsent codes: 2, the oldest 7.2 s old", "dead letters: 3"]


def test_the_table_is_there_when_the_stores_are_not():
    assert report(None, None).count("?") == 3 * len(QUEUES)


# --- the gauges -------------------------------------------------------------------------------------------------------


class Scrape:
    """A registry with the collector alone."""

    def __init__(self, world, celery=None):
        self.seconds = 0.0
        self.registry = CollectorRegistry()
        self.registry.register(
            QueueCollector(celery or world.celery, world.redis, world.clock, monotonic=lambda: self.seconds)
        )

    def __call__(self):
        self.seconds += READ_EVERY_SECONDS
        return self.again()

    def again(self):
        text = generate_latest(self.registry).decode()
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_the_gauges_say_what_operations_ask_for(world):
    Publisher(world.celery).publish_to(SMS_CODES, {})
    world.code()
    note_consumed(world.redis, SMS_CODES, world.now)
    DeadLetters(world.redis, world.clock).keep(queue=SMS_CODES, task=None, document="", reason="", source_id=None)
    world.turn(3)
    assert Scrape(world)().items() >= {
        ('latchkey_queue_waiting_messages{queue="sms.codes"}', "1.0"),
        ('latchkey_queue_waiting_messages{queue="otp.events"}', "0.0"),
        ('latchkey_queue_canary_age_seconds{queue="sms.codes"}', "3.0"),
        ("latchkey_sms_codes_unsent", "1.0"),
        ("latchkey_sms_oldest_unsent_code_age_seconds", "3.0"),
        ("latchkey_dead_letters", "1.0"),
        ('latchkey_queues_up{store="broker"}', "1.0"),
        ('latchkey_queues_up{store="redis"}', "1.0"),
    }


def test_a_broker_that_is_away_is_down_and_its_gauges_are_left_out(world):
    gauges = Scrape(world, make_celery("test", Secret(NOBODY), reply_seconds=0.5))()
    assert gauges['latchkey_queues_up{store="broker"}'] == "0.0"
    assert gauges['latchkey_queues_up{store="redis"}'] == "1.0"
    assert not [name for name in gauges if "waiting" in name]


def test_a_store_that_is_away_is_down_and_its_gauges_are_left_out(world):
    world.server.connected = False
    gauges = Scrape(world)()
    assert gauges['latchkey_queues_up{store="broker"}'] == "1.0"
    assert gauges['latchkey_queues_up{store="redis"}'] == "0.0"
    assert not [name for name in gauges if "unsent" in name or "canary" in name or "dead" in name]


def test_many_scrapes_ask_the_stores_once(world):
    scrape = Scrape(world)
    scrape()
    world.code()
    assert scrape.again()["latchkey_sms_codes_unsent"] == "0.0"
    assert scrape()["latchkey_sms_codes_unsent"] == "1.0"


def test_a_backlog_knows_only_queues_of_ours(world):
    world.redis.hset("canaries", mapping={"old.queue": "1", AUTH_EVENTS: "1"})
    assert read_backlog(world.redis, world.now).canary_age_seconds.keys() == {AUTH_EVENTS}
