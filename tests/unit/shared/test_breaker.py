import threading
import time

import pytest

from shared.breaker import Breaker
from shared.deadline import at_most, begin_request, end_request
from tests.support.threads import at_once


class HungError(Exception):
    pass


class RefusedError(Exception):
    pass


@pytest.fixture
def breaker():
    return Breaker("part", lambda error: isinstance(error, HungError), opens_after=3)


def call(breaker, outcome=None):
    """What came of one call: "made", or that it was refused."""
    try:
        with breaker.call(RefusedError):
            if outcome is not None:
                raise outcome
    except HungError:
        return "made"
    except RefusedError:
        return "refused"
    return "made"


def test_one_success_begins_the_row_anew(breaker):
    for _ in range(4):
        call(breaker, HungError())
        call(breaker, HungError())
        assert call(breaker) == "made"
    assert call(breaker) == "made"


def test_it_tells_whether_the_last_call_failed(breaker):
    told = []
    for outcome in (None, HungError(), HungError(), None):
        call(breaker, outcome)
        told.append(breaker.failed_last)
    assert told == [False, True, True, False]


def test_what_is_no_failure_of_the_part_opens_nothing(breaker):
    for _ in range(9):
        with pytest.raises(ValueError, match="ours"), breaker.call(RefusedError):
            raise ValueError("ours")
    assert call(breaker) == "made"


def test_after_so_many_failures_in_a_row_one_caller_finds_out_for_all(breaker):
    for _ in range(3):
        call(breaker, HungError())
    go = threading.Event()

    def probe(number):
        try:
            with breaker.call(RefusedError):
                go.wait(5)
                return "made"
        except RefusedError:
            refused.append(number)
            if len(refused) == 3:
                go.set()
            return "refused"

    refused = []
    assert sorted(at_once(4, probe)) == ["made", "refused", "refused", "refused"]
    assert call(breaker) == "made"


def test_before_that_all_may_call(breaker):
    for _ in range(2):
        call(breaker, HungError())
    with breaker.call(RefusedError):
        assert call(breaker) == "made"


def test_a_try_that_fails_keeps_it_open_and_one_that_does_not_closes_it(breaker):
    for _ in range(4):
        call(breaker, HungError())
    with breaker.call(RefusedError):
        assert call(breaker) == "refused"
    with breaker.call(RefusedError):
        assert call(breaker) == "made"


def test_a_wait_is_cut_to_what_is_left_of_the_request():
    seen = []

    def request():
        seen.append(at_most(9.0))
        begin_request()
        seen.append(at_most(1.0))
        seen.append(at_most(9.0))
        time.sleep(0.2)
        seen.append(at_most(9.0))
        end_request()
        seen.append(at_most(9.0))

    thread = threading.Thread(target=request)
    thread.start()
    thread.join()
    outside, short, whole, later, over = seen
    assert (outside, short, over) == (9.0, 1.0, 9.0)
    assert 2.5 < whole <= 2.7
    assert later <= whole - 0.2
