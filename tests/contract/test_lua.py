"""Scripts over a connection that a thread keeps, on a real Redis: what is asked is answered, in time or not at all."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.lua import Call, LuaScript, together
from shared.redis_client import connect
from shared.secret import Secret

ECHO = LuaScript("return ARGV")
FAILS = LuaScript("return redis.error_reply('OURS it went wrong')")


@pytest.fixture(scope="module")
def redis(running):
    return connect(Secret(running[1]))


def echo(*args) -> Call[list[str]]:
    return Call(ECHO, [], args, list)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**63), 2**63 - 1)))
def test_arguments_arrive_as_they_are(redis, args):
    assert ECHO.run(redis, [], args) == [str(arg) for arg in args]


def test_a_server_that_forgot_its_scripts_is_told_them_again(redis):
    for ask in (lambda: ECHO.run(redis, [], ["a"]), lambda: together(redis, echo("a"), echo("b"))[0]):
        redis.script_flush()
        assert ask() == ["a"]


def test_one_of_two_may_fail_alone(redis):
    with pytest.raises(ResponseError, match="OURS"):
        together(redis, Call(FAILS, [], [], list), echo("b"))
    with pytest.raises(ResponseError, match="OURS"):
        FAILS.run(redis, [], [])
    assert together(redis, echo("a"), echo("b")) == (["a"], ["b"])


@pytest.mark.parametrize(
    "ask", [lambda redis: echo("a").run(redis), lambda redis: together(redis, echo("a"), echo("b"))]
)
def test_a_server_that_hangs_is_a_time_out(server, redis, ask):
    """Which the breaker knows it by; and its answer, which comes late, is nobody's."""
    ask(redis)
    server.pause()
    began = time.monotonic()
    try:
        with pytest.raises(RedisTimeoutError):
            ask(redis)
    finally:
        server.resume()
    assert time.monotonic() - began < 2
    assert echo("mine").run(redis) == ["mine"]


def test_a_connection_that_the_server_closed_is_found_out_before_it_is_used(server, redis):
    echo("a").run(redis)
    server.kill()
    server.start()
    assert echo("b").run(redis) == ["b"]
