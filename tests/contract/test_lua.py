"""Scripts over the line that a thread keeps, on a real Redis: what is asked is answered, in time or not at all."""

import signal
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared import budgets
from shared.budgets import Charge, Rate, Window
from shared.lua import Call, LuaScript, execute_scripted, together
from shared.redis_client import connect
from shared.redis_line import line_of
from shared.secret import Secret

ECHO = LuaScript("return ARGV")
FAILS = LuaScript("return redis.error_reply('OURS it went wrong')")
ADD = LuaScript("return redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture(scope="module")
def redis(running):
    return connect(Secret(running[1]))


def echo(*args) -> Call[list[str]]:
    return Call(ECHO, [], args, list)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**63), 2**63 - 1)))
def test_arguments_arrive_as_they_are(redis, args):
    assert ECHO.run(redis, [], args) == [str(arg) for arg in args]


def test_a_long_answer_comes_in_parts_and_as_a_whole(redis):
    long = "x" * 1_000_000
    assert together(redis, echo(long), echo("b")) == ([long], ["b"])


def test_nothing_is_an_answer(redis):
    assert LuaScript("return nil").run(redis, [], []) is None


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        ("LOADING Redis is loading the dataset in memory", RedisConnectionError),
        ("READONLY You can't write against a read only replica", ReadOnlyError),
    ],
)
def test_a_refusal_is_the_error_that_redis_py_makes_of_it(redis, refusal, error):
    with pytest.raises(error):
        LuaScript("return redis.error_reply(ARGV[1])").run(redis, [], [refusal])
    assert echo("mine").run(redis) == ["mine"]


def test_what_the_server_says_of_itself_is_no_answer(redis):
    """RESP3 has pushes: of keys that changed, or of a server that is about to move."""
    line = line_of(redis.connection_pool)
    line.ask(("CLIENT", "TRACKING", "ON"))
    assert line.ask(("GET", "k"), ("SET", "k", "v"), ("GET", "k")) == [None, "OK", "v"]
    line.hang_up()


def test_a_server_that_forgot_its_scripts_is_told_them_again(redis):
    for ask in (lambda: ECHO.run(redis, [], ["a"]), lambda: together(redis, echo("a"), echo("b"))[0]):
        redis.script_flush()
        assert ask() == ["a"]


def test_a_refund_runs_once_when_the_server_forgets_its_scripts_during_the_pipeline(redis):
    ann, bob = (Charge(Rate("probe", "account", (Window(10, 60),)), subject) for subject in ("ann", "bob"))
    budgets.clear(redis, ann, bob)
    for charge in (ann, ann, ann, bob):
        budgets.take(redis, charge)
    redis.script_load(budgets.REFUND_SCRIPT.text)
    pipeline = redis.pipeline(transaction=False)
    budgets.queue_refund(pipeline, ann)
    pipeline.execute_command("SCRIPT", "FLUSH")
    budgets.queue_refund(pipeline, bob)
    execute_scripted(redis, pipeline, budgets.REFUND_SCRIPT)
    assert (budgets.count(redis, ann), budgets.count(redis, bob)) == (2, 0)


def test_what_else_a_pipeline_holds_is_sent_once(redis):
    redis.delete("n", "m")
    redis.script_flush()
    pipeline = redis.pipeline(transaction=False)
    pipeline.incr("n")
    ADD.queue(pipeline, ["m"], [5])
    pipeline.incr("n")
    assert execute_scripted(redis, pipeline, ADD) == [1, 5, 2]


def test_a_script_that_fails_in_a_pipeline_is_reported_and_the_others_have_run(redis):
    redis.delete("m")
    pipeline = redis.pipeline(transaction=False)
    redis.script_flush()
    for _ in range(2):  # a server that knows neither, and one that knows both
        FAILS.queue(pipeline, [], [])
        ADD.queue(pipeline, ["m"], [5])
        with pytest.raises(ResponseError, match="OURS"):
            execute_scripted(redis, pipeline, FAILS, ADD)
    assert redis.get("m") == "10"


def test_of_two_only_the_forgotten_one_runs_again(redis):
    """A failover may come between the two, so the first has run and the second is unknown."""
    redis.delete("n", "m")
    redis.script_flush()
    redis.script_load(ADD.text)
    other = LuaScript("return redis.call('INCRBY', KEYS[1], ARGV[1]) + 0")
    first, second = (Call(script, [key], [5], int) for script, key in ((ADD, "n"), (other, "m")))
    assert together(redis, first, second) == (5, 5)


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


def test_an_answer_that_was_not_waited_for_is_not_taken_for_the_next_ones(server, redis):
    """The process is told to end between the question and the answer, which comes later."""
    ends = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    told = threading.Timer(0.2, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR1))
    goes_on = threading.Timer(0.5, server.resume)
    echo("a").run(redis)
    server.pause()
    told.start()
    goes_on.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            echo("not waited for").run(redis)
        assert echo("mine").run(redis) == ["mine"]
    finally:
        goes_on.join()
        told.join()
        signal.signal(signal.SIGUSR1, ends)


def test_a_connection_that_the_server_closed_is_found_out_before_it_is_used(server, redis):
    echo("a").run(redis)
    server.kill()
    server.start()
    assert echo("b").run(redis) == ["b"]
