from datetime import timedelta

import fakeredis
import pytest

from shared.clock import system_clock
from shared.clock_check import TOLERANCE, require_right_clock
from shared.problems import Unavailable

A_BIT = timedelta(seconds=1)


def off_by(difference):
    return lambda: system_clock() + difference


@pytest.mark.parametrize("difference", [timedelta(), TOLERANCE - A_BIT, A_BIT - TOLERANCE])
def test_a_clock_that_is_nearly_right_will_do(difference):
    require_right_clock(fakeredis.FakeRedis(), off_by(difference))


@pytest.mark.parametrize("difference", [TOLERANCE + A_BIT, -TOLERANCE - A_BIT, timedelta(minutes=5)])
def test_a_wrong_clock_is_told(difference):
    with pytest.raises(Unavailable) as unavailable:
        require_right_clock(fakeredis.FakeRedis(), off_by(difference))
    assert unavailable.value.reason == "clock"


def test_without_redis_nobody_can_tell():
    server = fakeredis.FakeServer()
    server.connected = False
    require_right_clock(fakeredis.FakeRedis(server=server), off_by(timedelta(minutes=5)))
