"""A worker that takes nothing though there is something to take ends itself, and no other does."""

from datetime import UTC, datetime, timedelta

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.canary import CANARY, PACE, Pace, Watch, is_stalled, starving_since
from shared.messages import AUTH_EVENTS, OTP_EVENTS
from shared.queueing import make_celery
from shared.queues import note_consumed, read_backlog, read_depths
from shared.secret import Secret

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
BEATS = int(PACE.stalled_after / PACE.beat)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=100))
def test_only_a_row_of_hungry_looks_without_a_break_ends_a_worker(looks):
    since, hungry, now = None, 0, START
    for consumed, there_is_food in looks:
        now += timedelta(seconds=PACE.beat)
        since = starving_since(since, consumed=consumed, there_is_food=there_is_food, now=now)
        hungry = hungry + 1 if there_is_food and not consumed else 0
        assert is_stalled(since, now, PACE) == (hungry > BEATS)


class World:
    """One worker process on a broker in memory, and a clock to turn."""

    def __init__(self):
        self.now = START
        self.server = fakeredis.FakeServer()
        self.redis = fakeredis.FakeStrictRedis(server=self.server, decode_responses=True)
        self.celery = make_celery("test", Secret("memory://"))
        self.ended = []
        self.watch = Watch(self.celery, self.redis, self.clock, end=lambda: self.ended.append(self.now))

    def clock(self):
        return self.now

    def waiting(self, queue=AUTH_EVENTS):
        return read_depths(self.celery, [queue])[queue].waiting

    def beats(self, number, *, takes=(), queues=(AUTH_EVENTS,), others_take=False):
        for _ in range(number):
            self.now += timedelta(seconds=PACE.beat)
            for queue in takes:
                self.watch.consumed(queue)
            if others_take:
                note_consumed(self.redis, AUTH_EVENTS, self.now)
                self.purge()
            self.watch.beat(queues)

    def purge(self):
        with self.celery.connection_for_write() as connection:
            for queue in (AUTH_EVENTS, OTP_EVENTS):
                bound = self.celery.amqp.queues[queue](connection.default_channel)
                bound.declare()
                bound.purge()


@pytest.fixture
def world():
    world = World()
    world.purge()
    yield world
    world.purge()
    world.celery.close()


def test_every_beat_puts_a_canary_on_each_queue(world):
    world.beats(3, queues=(AUTH_EVENTS, OTP_EVENTS))
    assert (world.waiting(AUTH_EVENTS), world.waiting(OTP_EVENTS)) == (3, 3)


def test_whoever_takes_a_canary_notes_it(world):
    task = world.celery.tasks[CANARY]
    task.push_request(delivery_info={"routing_key": AUTH_EVENTS})
    task.run({})
    world.now += timedelta(seconds=7)
    assert read_backlog(world.redis, world.now).canary_age_seconds == {AUTH_EVENTS: 7.0}


def test_a_canary_that_cannot_be_noted_fails_no_task(world):
    world.server.connected = False
    task = world.celery.tasks[CANARY]
    task.push_request(delivery_info={"routing_key": AUTH_EVENTS})
    task.run({})


def test_a_worker_that_takes_its_canaries_lives_on(world):
    world.beats(BEATS * 3, takes=[AUTH_EVENTS])
    assert world.ended == []


def test_a_worker_on_whose_queue_messages_pile_up_ends(world):
    """A single worker: nobody else takes its canaries."""
    world.beats(BEATS)
    assert world.ended == []
    world.beats(3)
    assert world.ended


def test_a_worker_that_gets_nothing_while_others_do_ends(world):
    world.beats(BEATS, others_take=True)
    assert world.ended == []
    world.beats(2, others_take=True)
    assert world.ended


def test_one_queue_of_several_is_enough(world):
    world.beats(BEATS + 3, takes=[OTP_EVENTS], queues=(AUTH_EVENTS, OTP_EVENTS))
    assert world.ended


def test_one_message_is_enough_to_live_on(world):
    world.beats(BEATS)
    world.beats(1, takes=[AUTH_EVENTS])
    world.beats(BEATS)
    assert world.ended == []


def test_an_outage_of_the_store_ends_no_worker(world):
    world.server.connected = False
    world.beats(BEATS * 3)
    assert world.ended == []


def test_an_outage_of_the_broker_ends_no_worker_and_is_told_once_in_a_while(world, capsys):
    world.watch = Watch(
        make_celery("test", Secret("redis://127.0.0.1:1/0")),
        world.redis,
        world.clock,
        pace=Pace(beat=PACE.beat, stalled_after=4 * PACE.beat, complain_every=3 * PACE.beat),
        end=lambda: world.ended.append(1),
    )
    world.beats(7)  # each takes two seconds of real time, in which the publisher tries again
    assert world.ended == []
    assert capsys.readouterr().out.count("canary not published") == 3


def test_after_an_outage_a_worker_has_its_time_again(world):
    """Others take canaries the moment the broker is back; ours may connect a little later."""
    world.server.connected = False
    world.beats(BEATS * 2)
    world.server.connected = True
    world.beats(BEATS - 1, others_take=True)
    assert world.ended == []
