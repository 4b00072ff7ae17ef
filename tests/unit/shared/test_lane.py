import threading

import pytest

from shared.lane import Lane
from shared.problems import Unavailable


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


def test_the_work_is_done_on_a_thread_of_the_lane_and_its_result_comes_back():
    lane = Lane("drawing", max_waiting=1)
    assert lane.run(lambda: threading.current_thread().name).startswith("drawing")


def test_what_the_work_raises_is_raised_and_the_place_is_free_again():
    lane = Lane("drawing", max_waiting=1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            lane.run(lambda: 1 / 0)


def test_one_more_than_may_wait_is_told_to_come_back_in_a_second(gate):
    lane, inside = Lane("drawing", max_waiting=1), threading.Event()

    def hold():
        inside.set()
        gate.wait()

    holder = threading.Thread(target=lambda: lane.run(hold))
    holder.start()
    inside.wait()
    with pytest.raises(Unavailable) as outage:
        lane.run(lambda: None)
    assert (outage.value.reason, outage.value.retry_after_seconds) == ("drawing", 1)
    gate.set()
    holder.join()
    assert lane.run(lambda: "free") == "free"


def test_a_caller_waits_no_longer_than_its_patience(gate):
    lane = Lane("drawing", max_waiting=2, patience_seconds=0.05)
    with pytest.raises(Unavailable) as outage:
        lane.run(gate.wait)
    assert outage.value.reason == "drawing"
