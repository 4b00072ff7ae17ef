"""The rate of a provider is one bucket for all workers: threads against a real server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.local.redis_server import redis_server
from services.notify.providers import state
from services.notify.providers.state import NoTurn
from shared.clock import after
from shared.redis_client import connect
from shared.secret import Secret
from tests.support.free_port import free_port
from tests.unit.notify.courier import START

THREADS = 16


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis"), free_port()) as url:
        yield url


@pytest.fixture
def redis(server):
    client = connect(Secret(server))
    client.flushall()
    yield client
    client.close()


def at_once(count, work):
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda _: work(), range(count)))


@pytest.mark.parametrize("rate", [0.5, 1, 3, 25.0])
def test_all_workers_share_one_bucket(redis, rate):
    turns = at_once(200, lambda: state.take_turn(redis, "twilio", rate, START, after(START, 10_000)))
    seconds = sorted((turn - START).total_seconds() for turn in turns)
    burst = max(1, int(rate))
    assert seconds == pytest.approx([max(0, number - burst + 1) / rate for number in range(200)], abs=0.1)


def test_no_more_turns_are_given_than_there_is_time_for(redis):
    turns = at_once(200, lambda: state.take_turn(redis, "twilio", 10.0, START, after(START, 5)))
    assert sum(not isinstance(turn, NoTurn) for turn in turns) == 10 + 50


def test_a_turn_that_is_not_given_takes_nothing(redis):
    state.take_turn(redis, "twilio", 1.0, START, START)
    at_once(50, lambda: state.take_turn(redis, "twilio", 1.0, START, START))
    assert state.take_turn(redis, "twilio", 1.0, START, after(START, 60)) == after(START, 1)


def test_an_idle_bucket_holds_one_second(redis):
    for _ in range(100):
        state.take_turn(redis, "twilio", 10.0, START, after(START, 60))
    late = after(START, 3600)
    turns = [state.take_turn(redis, "twilio", 10.0, late, after(late, 60)) for _ in range(12)]
    assert turns == [late] * 10 + [after(late, 0.1), after(late, 0.2)]


def test_providers_have_buckets_of_their_own(redis):
    state.take_turn(redis, "twilio", 1.0, START, START)
    assert state.take_turn(redis, "http", 1.0, START, START) == START


def test_a_bucket_that_is_full_is_forgotten(redis):
    state.take_turn(redis, "twilio", 1.0, START, START)
    assert 0 < redis.pttl("notify:rate:twilio") <= 2000


def test_one_probe_at_a_time(redis):
    assert at_once(50, lambda: state.claim_probe(redis, "twilio", START)).count(True) == 1
