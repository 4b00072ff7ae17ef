"""The same promises on Redis and on RabbitMQ: real brokers, real worker processes, kills and freezes."""

import itertools
import time
from datetime import timedelta

import pytest

from shared.brokers import LONGEST_COUNTDOWN_SECONDS
from shared.messages import AUTH_EVENTS, OTP_EVENTS
from shared.problems import Unavailable
from shared.queueing import RETRY_SECONDS

pytestmark = pytest.mark.timeout(180)

SENT_AGAIN_SECONDS = 30
CALLER_PATIENCE_SECONDS = 3.0
SHORT = timedelta(seconds=2)


def seconds_of(action) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


# --- while all is well ------------------------------------------------------------------------------------------------


def test_what_is_published_is_handled_once(broker):
    for number in range(50):
        broker.publish(AUTH_EVENTS, id=f"evt_{number}")
    with broker.consumer(threads=4):
        broker.journal.wait_for("done", "evt_49")
        time.sleep(0.5)
    assert broker.journal.count("done") == {f"evt_{number}": 1 for number in range(50)}


def test_an_event_that_waits_for_its_store_does_not_keep_others_waiting(broker):
    with broker.consumer(threads=1):
        broker.publish(AUTH_EVENTS, id="evt_waits", fail=2)
        broker.journal.wait_for("begun", "evt_waits")
        broker.publish(AUTH_EVENTS, id="evt_other")
        assert broker.journal.wait_for("done", "evt_other") < RETRY_SECONDS
        broker.journal.wait_for("done", "evt_waits")
    first, second, third = broker.journal.times("begun", "evt_waits")
    for gap in (second - first, third - second):
        assert RETRY_SECONDS <= gap < RETRY_SECONDS + 5


def test_many_that_wait_do_not_stop_a_worker(broker):
    """More than it takes at a time: a broker without global QoS must hold them itself."""
    with broker.consumer(threads=2):
        for number in range(8):
            broker.publish(OTP_EVENTS, id=f"evt_{number}", again=5, again_times=1)
        for number in range(8):
            broker.journal.wait_for("begun", f"evt_{number}")
        broker.publish(OTP_EVENTS, id="evt_other", again=0, again_times=0)
        assert broker.journal.wait_for("done", "evt_other") < 3
        for number in range(8):
            broker.journal.wait_for("done", f"evt_{number}")
    assert broker.journal.count("begun") == {"evt_other": 1} | {f"evt_{number}": 2 for number in range(8)}


@pytest.mark.parametrize("countdown", [0.1, 1.5])
def test_a_countdown_of_less_than_a_whole_second_is_kept(broker, countdown):
    with broker.consumer():
        broker.publish(OTP_EVENTS, id="evt_1", again=countdown, again_times=2)
        broker.journal.wait_for("done", "evt_1")
    begun = broker.journal.times("begun", "evt_1")
    assert len(begun) == 3
    for earlier, later in itertools.pairwise(begun):
        assert countdown <= later - earlier < countdown + 5


@pytest.mark.parametrize("broker", ["rabbitmq"], ids=["rabbitmq"], indirect=True)
def test_rabbitmq_cuts_a_countdown_that_is_longer_than_any_of_ours_and_loses_nothing(broker):
    with broker.consumer():
        broker.publish(OTP_EVENTS, id="evt_1", again=60, again_times=1)
        broker.journal.wait_for("done", "evt_1")
    first, second = broker.journal.times("begun", "evt_1")
    assert LONGEST_COUNTDOWN_SECONDS <= second - first < LONGEST_COUNTDOWN_SECONDS + 5


# --- what may be dropped when it is late ------------------------------------------------------------------------------


def test_rabbitmq_drops_what_waited_too_long_without_a_worker_and_keeps_the_rest(broker):
    """On Redis a worker gets all of it."""
    drops = broker.url.startswith("amqp")
    for number in range(20):
        broker.publisher.publish_to(AUTH_EVENTS, {"id": f"evt_late_{number}"}, kept_for=SHORT)
    broker.publish(AUTH_EVENTS, id="evt_kept")
    time.sleep(SHORT.total_seconds() + 1)
    assert broker.waiting(AUTH_EVENTS) == (1 if drops else 21)
    with broker.consumer(threads=2):
        broker.journal.wait_for("done", "evt_kept")
        time.sleep(0.5)
    assert len(broker.journal.count("done")) == (1 if drops else 21)


def test_what_comes_again_is_not_dropped(broker):
    """Nor does it come again too soon: a wait that is longer than the broker's patience is kept."""
    with broker.consumer():
        # Until a worker takes what comes, the broker's patience is for its start.
        broker.publish(OTP_EVENTS, id="evt_0", again=0, again_times=0)
        broker.journal.wait_for("done", "evt_0")
        broker.publisher.publish_to(OTP_EVENTS, {"id": "evt_1", "again": 3, "again_times": 2}, kept_for=SHORT)
        broker.journal.wait_for("done", "evt_1")
    begun = broker.journal.times("begun", "evt_1")
    assert [later - earlier >= 3 for earlier, later in itertools.pairwise(begun)] == [True, True]


# --- a worker dies ----------------------------------------------------------------------------------------------------


def test_what_a_killed_worker_had_in_hand_is_handled_by_another_in_time(broker):
    with broker.consumer(name="first") as first:
        broker.publish(AUTH_EVENTS, id="evt_1", work=12)
        broker.journal.wait_for("begun", "evt_1")
        with broker.consumer(name="second"):
            first.kill()
            broker.journal.wait_for("begun", "evt_1", times=2, seconds=SENT_AGAIN_SECONDS)
    assert broker.journal.count("begun") == {"evt_1": 2}


def test_a_worker_that_is_asked_to_stop_ends_what_it_has_in_hand(broker):
    with broker.consumer() as worker:
        broker.publish(AUTH_EVENTS, id="evt_1", work=1)
        broker.journal.wait_for("begun", "evt_1")
        worker.terminate()
        worker.wait(15)
    assert broker.journal.count("done") == {"evt_1": 1}
    with broker.consumer():
        broker.publish(AUTH_EVENTS, id="evt_2")
        broker.journal.wait_for("done", "evt_2")
    assert broker.journal.count("begun") == {"evt_1": 1, "evt_2": 1}


# --- the broker is away -----------------------------------------------------------------------------------------------


def test_a_publish_to_a_frozen_broker_fails_in_time_and_the_next_ones_too(broker):
    broker.publish(AUTH_EVENTS, id="evt_0")
    broker.server.pause()
    for number in range(4):

        def publish(number=number):
            with pytest.raises(Unavailable):
                broker.publish(AUTH_EVENTS, id=f"evt_lost_{number}")

        assert seconds_of(publish) < CALLER_PATIENCE_SECONDS
    broker.server.resume()
    assert seconds_of(lambda: broker.publish(AUTH_EVENTS, id="evt_1")) < CALLER_PATIENCE_SECONDS


def test_a_confirmation_that_comes_late_is_not_taken_for_the_next_messages(broker):
    broker.publish(AUTH_EVENTS, id="evt_0")
    broker.server.pause()
    with pytest.raises(Unavailable):
        broker.publish(AUTH_EVENTS, id="evt_lost")
    broker.server.resume()
    time.sleep(0.5)  # the confirmation of evt_lost is on its way
    broker.server.pause()
    with pytest.raises(Unavailable):
        broker.publish(AUTH_EVENTS, id="evt_1")


def test_a_publish_to_a_dead_broker_fails_at_once(broker):
    broker.publish(AUTH_EVENTS, id="evt_0")
    broker.server.kill()
    for number in range(3):

        def publish(number=number):
            with pytest.raises(Unavailable):
                broker.publish(AUTH_EVENTS, id=f"evt_lost_{number}")

        assert seconds_of(publish) < 1.0


def test_the_first_publish_after_the_broker_came_back_is_taken(broker):
    broker.publish(AUTH_EVENTS, id="evt_0")
    broker.server.kill()
    broker.server.start()
    broker.publish(AUTH_EVENTS, id="evt_1")
    with broker.consumer():
        broker.journal.wait_for("done", "evt_1")


def test_what_was_taken_outlives_a_broker_that_is_killed(broker):
    for number in range(20):
        broker.publish(AUTH_EVENTS, id=f"evt_{number}")
    broker.server.kill()
    broker.server.start()
    with broker.consumer():
        broker.journal.wait_for("done", "evt_19")
    assert broker.journal.count("done").keys() == {f"evt_{number}" for number in range(20)}


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_worker_that_lost_its_broker_consumes_again(broker, end, busy):
    """The known fault: the worker lives, is connected, and takes nothing any more."""
    with broker.consumer(threads=2) as worker:
        broker.publish(AUTH_EVENTS, id="evt_before")
        broker.journal.wait_for("done", "evt_before")
        if busy:
            broker.publish(AUTH_EVENTS, id="evt_during", work=4)
            broker.journal.wait_for("begun", "evt_during")
        for outage in range(2):
            getattr(broker.server, end)()
            time.sleep(2)
            broker.server.start()
            for number in range(6):
                broker.publish(AUTH_EVENTS, id=f"evt_{outage}_{number}")
            for number in range(6):
                broker.journal.wait_for("done", f"evt_{outage}_{number}", seconds=SENT_AGAIN_SECONDS)
        assert worker.poll() is None
        if busy:
            broker.journal.wait_for("done", "evt_during")


def test_a_worker_whose_broker_was_frozen_consumes_again(broker):
    with broker.consumer() as worker:
        broker.publish(AUTH_EVENTS, id="evt_before")
        broker.journal.wait_for("done", "evt_before")
        broker.server.pause()
        time.sleep(26)  # longer than two heartbeats
        broker.server.resume()
        broker.publish(AUTH_EVENTS, id="evt_after")
        broker.journal.wait_for("done", "evt_after", seconds=SENT_AGAIN_SECONDS)
        assert worker.poll() is None


def test_a_worker_starts_before_its_broker(broker):
    broker.server.stop()
    with broker.consumer() as worker:
        time.sleep(2)
        assert worker.poll() is None
        broker.server.start()
        broker.publish(AUTH_EVENTS, id="evt_1")
        broker.journal.wait_for("done", "evt_1", seconds=SENT_AGAIN_SECONDS)
