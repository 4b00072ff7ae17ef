from datetime import timedelta

import fakeredis
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from redis.exceptions import RedisError

from shared.clock import system_clock
from shared.clock_check import ASKED_EVERY_SECONDS, TOLERANCE, ServerClock, require_right_clock
from shared.clock_metrics import ClockCollector
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


class Server(fakeredis.FakeRedis):
    """Its clock is five minutes ahead of ours; it may be away."""

    asked = 0
    away = False

    def time(self):
        type(self).asked += 1
        if self.away:
            raise RedisError("away")
        seconds, microseconds = super().time()
        return seconds + 300, microseconds


class Ticks:
    at = 1000.0

    def __call__(self):
        return self.at


@pytest.fixture
def server():
    server = Server()
    Server.asked = 0
    return server


def minutes_ahead(moment):
    return round((moment - system_clock()).total_seconds() / 60)


def test_the_server_clock_is_the_servers(server):
    clock = ServerClock(server)
    assert minutes_ahead(clock()) == 5
    assert clock().tzinfo is not None


def test_it_goes_on_between_the_answers_and_asks_seldom(server):
    ticks = Ticks()
    clock = ServerClock(server, ticks)
    first = clock()
    ticks.at += ASKED_EVERY_SECONDS - 1
    assert clock() - first == timedelta(seconds=ASKED_EVERY_SECONDS - 1)
    assert server.asked == 1
    ticks.at += 1
    clock()
    assert server.asked == 2


def test_a_server_that_went_away_leaves_the_time_that_it_told(server):
    ticks = Ticks()
    clock = ServerClock(server, ticks)
    first = clock()
    server.away = True
    ticks.at += ASKED_EVERY_SECONDS
    assert clock() - first == timedelta(seconds=ASKED_EVERY_SECONDS)


def test_before_the_first_answer_it_is_our_own_time(server):
    server.away = True
    assert minutes_ahead(ServerClock(server)()) == 0


def test_a_server_that_is_back_is_asked_at_once_by_who_never_heard_it(server):
    clock = ServerClock(server, Ticks())
    server.away = True
    clock()
    server.away = False
    assert minutes_ahead(clock()) == 5


def scraped(redis):
    registry = CollectorRegistry()
    registry.register(ClockCollector(redis, system_clock))
    return generate_latest(registry).decode()


def test_the_gauge_says_how_far_a_clock_is_off(server):
    name, value = scraped(server).splitlines()[-1].split()
    assert (name, round(float(value))) == ("latchkey_clock_ahead_seconds", -300)
    server.away = True
    assert scraped(server) == ""
