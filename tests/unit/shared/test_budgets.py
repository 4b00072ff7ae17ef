import contextlib

import fakeredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.auth import limits as auth_limits
from services.otp import limits as otp_limits
from shared import budgets
from shared.budgets import Charge, Rate, Window
from shared.lua import execute_scripted
from shared.problems import Refusal, Unavailable

SHORT, LONG = Window(3, 60), Window(5, 3600)
RATE = Rate("test", "account", (SHORT, LONG))
ANN, BOB = Charge(RATE, "ann"), Charge(RATE, "bob")


@pytest.fixture
def server():
    return fakeredis.FakeServer()


@pytest.fixture
def redis(server):
    return fakeredis.FakeRedis(server=server, decode_responses=True)


def counts(redis, charge=ANN):
    keys = charge.keys()
    return [int(redis.get(key) or 0) for key in keys]


def end(redis, window, charge=ANN):
    """The window is over."""
    redis.delete(charge.keys()[charge.rate.windows.index(window)])


def test_a_window_takes_its_max_and_then_says_when_to_come_back(redis):
    assert [budgets.take(redis, ANN).counts[0] for _ in range(3)] == [1, 2, 3]
    refused = budgets.take(redis, ANN)
    assert not refused.allowed
    assert 58 <= refused.retry_after_seconds <= 60
    with pytest.raises(Refusal) as refusal:
        refused.require()
    assert (refusal.value.code, refusal.value.retry_after_seconds) == (
        "too_many_requests",
        refused.retry_after_seconds,
    )


@pytest.mark.parametrize(
    ("ending", "counted"),
    [
        (Unavailable("otp"), 0),
        (OperationalError("SELECT", {}, Exception("away")), 0),
        (PoolTimeoutError("no place"), 0),
        (Refusal("invalid_passcode"), 1),
        (RedisConnectionError("lost"), 1),
        (ValueError("a bug"), 1),
        (None, 1),
    ],
)
def test_a_try_is_given_back_when_a_part_was_down_and_never_when_an_answer_was_known(redis, ending, counted):
    budgets.take(redis, ANN)
    with (
        contextlib.suppress(Refusal, OperationalError, PoolTimeoutError, RedisConnectionError, ValueError),
        budgets.given_back_on_outage(redis, ANN),
    ):
        if ending is not None:
            raise ending
    assert counts(redis) == [counted, counted]


class TestDurable:
    LASTS = Charge(Rate("lasts", "account", (Window(5, 3600),), durable=True), "ann")

    def test_nothing_is_counted_before_the_count_was_recalled(self, redis):
        with pytest.raises(Unavailable):
            budgets.take(redis, ANN, self.LASTS)
        assert redis.keys() == []

    def test_it_goes_on_where_it_stood(self, redis):
        taken = budgets.take(redis, ANN, self.LASTS, recall=lambda: {self.LASTS: 3})
        assert (taken.allowed, taken.counts) == (True, (1, 4))
        assert 3590 < redis.ttl(self.LASTS.keys()[0]) <= 3600
        assert budgets.take(redis, ANN, self.LASTS, recall=pytest.fail).counts == (2, 5)
        assert not budgets.take(redis, ANN, self.LASTS, recall=pytest.fail).allowed

    def test_who_comes_first_puts_it_back(self, redis):
        """The second one had asked, too, and must not undo what was counted since."""

        def recall():
            budgets.take(redis, self.LASTS, recall=lambda: {self.LASTS: 2})
            return {self.LASTS: 2}

        assert budgets.take(redis, self.LASTS, recall=recall).counts == (4,)

    def test_a_count_of_nothing_is_there_and_does_not_end_with_the_first_try(self, redis):
        budgets.take(redis, self.LASTS, recall=lambda: {self.LASTS: 0})
        assert redis.get(self.LASTS.keys()[0]) == "1"
        assert budgets.count(redis, self.LASTS) == 1
        assert budgets.count(redis, ANN) == 0

    def test_it_stands_beside_a_charge_that_counts_only_sometimes(self, redis):
        sometimes = Charge(Rate("probe", "account", (Window(1, 60),)), "ann", only_while="paused")
        for _ in range(2):
            assert budgets.take(
                redis, sometimes, self.LASTS, read=["paused"], recall=lambda: {self.LASTS: 3}
            ).waits == (0, 0)
        assert 3590 < max(budgets.take(redis, self.LASTS).waits) <= 3600
        assert redis.get(sometimes.keys()[0]) is None

    def test_rows_of_one_name_share_it(self, redis):
        low = Charge(Rate("lasts", "account", (Window(2, 3600),), durable=True), "ann")
        budgets.take(redis, self.LASTS, recall=lambda: {self.LASTS: 1})
        assert not budgets.take(redis, low).allowed
        assert budgets.take(redis, self.LASTS).counts == (3,)


def test_many_tries_are_given_back_and_none_that_was_never_taken(redis):
    for _ in range(3):
        budgets.take(redis, ANN)
    pipeline = redis.pipeline(transaction=False)
    budgets.queue_refunds(pipeline, {ANN: 2})
    execute_scripted(redis, pipeline, budgets.REFUND_SCRIPT)
    assert counts(redis) == [1, 1]
    budgets.queue_refunds(pipeline, {ANN: 5})
    execute_scripted(redis, pipeline, budgets.REFUND_SCRIPT)
    assert counts(redis) == [0, 0]


def test_a_refund_that_fails_hides_no_outage(redis, server):
    budgets.take(redis, ANN)
    outage = Unavailable("otp")
    server.connected = False
    with pytest.raises(Unavailable), budgets.given_back_on_outage(redis, ANN):
        raise outage
    server.connected = True
    assert counts(redis) == [1, 1]


def test_a_refused_try_is_not_counted_and_lengthens_no_wait(redis):
    for _ in range(3):
        budgets.take(redis, ANN)
    redis.pexpire(ANN.keys()[0], 5_000)
    for _ in range(20):
        assert 4 <= budgets.take(redis, ANN).retry_after_seconds <= 5
    assert counts(redis) == [3, 3]


def test_a_window_begins_with_its_first_try_and_later_ones_do_not_move_it(redis):
    budgets.take(redis, ANN)
    redis.pexpire(ANN.keys()[0], 30_000)
    budgets.take(redis, ANN)
    assert redis.pttl(ANN.keys()[0]) <= 30_000


def test_every_window_holds_and_the_longest_wait_is_told(redis):
    for _ in range(3):
        budgets.take(redis, ANN)
    end(redis, SHORT)
    for _ in range(2):
        assert budgets.take(redis, ANN).allowed
    refused = budgets.take(redis, ANN)
    assert not refused.allowed
    assert refused.retry_after_seconds > 3500
    end(redis, LONG)
    assert budgets.take(redis, ANN).allowed


def test_one_charge_that_is_spent_leaves_the_others_alone(redis):
    for _ in range(3):
        budgets.take(redis, ANN)
    assert not budgets.take(redis, BOB, ANN).allowed
    assert counts(redis, BOB) == [0, 0]


def test_subjects_and_rates_do_not_meet(redis):
    other = Charge(Rate("other", "account", (SHORT,)), "ann")
    for _ in range(3):
        budgets.take(redis, ANN)
    assert budgets.take(redis, BOB).allowed
    assert budgets.take(redis, other).allowed


def test_a_refund_gives_one_try_back_in_every_window(redis):
    for _ in range(3):
        budgets.take(redis, ANN)
    budgets.refund(redis, ANN)
    assert counts(redis) == [2, 2]
    assert budgets.take(redis, ANN).allowed
    assert not budgets.take(redis, ANN).allowed


def test_a_refund_of_nothing_is_none(redis):
    budgets.refund(redis)
    pipeline = redis.pipeline(transaction=False)
    budgets.queue_refund(pipeline)
    execute_scripted(redis, pipeline, budgets.REFUND_SCRIPT)


def test_a_refund_moves_no_window_and_makes_no_credit(redis):
    budgets.refund(redis, ANN)
    assert redis.keys("*") == []
    budgets.take(redis, ANN)
    budgets.refund(redis, ANN)
    budgets.refund(redis, ANN)
    assert counts(redis) == [0, 0]
    assert redis.ttl(ANN.keys()[0]) > 0


def test_after_a_refund_a_counter_at_zero_still_ends(redis):
    """INCR from 0 to 1 must not find a key without a life."""
    for _ in range(3):
        budgets.take(redis, ANN)
        budgets.refund(redis, ANN)
        assert all(redis.ttl(key) > 0 for key in [*ANN.keys()])


def test_clearing_forgets_all_tries_of_this_subject_only(redis):
    budgets.take(redis, ANN)
    budgets.take(redis, BOB)
    budgets.clear(redis, ANN)
    assert (counts(redis), counts(redis, BOB)) == ([0, 0], [1, 1])


def test_a_pipelined_refund_survives_a_server_that_forgot_the_script(redis):
    budgets.take(redis, ANN)
    redis.script_flush()
    pipeline = redis.pipeline(transaction=False)
    budgets.queue_refund(pipeline, ANN)
    execute_scripted(redis, pipeline, budgets.REFUND_SCRIPT)
    assert counts(redis) == [0, 0]


def test_every_charge_tells_the_tries_of_its_longest_window(redis):
    budgets.take(redis, ANN)
    end(redis, SHORT)
    assert budgets.take(redis, ANN, BOB).counts == (2, 1)


def test_what_is_read_with_a_count_is_what_stands_there(redis):
    redis.set("text", "a")
    redis.hset("hash", "field", "b")
    taken = budgets.take(redis, ANN, read=["text", "nothing", "hash"])
    assert taken.read == ("a", None, ["field", "b"])


def test_a_spent_budget_counts_nothing_and_still_tells(redis):
    for _ in range(3):
        budgets.take(redis, ANN)
    redis.set("text", "a")
    taken = budgets.take(redis, BOB, ANN, read=["text"])
    assert (taken.allowed, taken.counts, taken.read) == (False, (0, 3), ("a",))


def test_a_spent_budget_says_which_charge_waits_and_for_how_long(redis):
    for _ in range(3):
        budgets.take(redis, ANN)
    taken = budgets.take(redis, BOB, ANN)
    assert taken.waits[0] == 0
    assert taken.waits[1] == taken.retry_after_seconds > 0


def test_a_charge_may_count_and_refuse_only_while_there_is_a_key(redis):
    probe = Charge(Rate("probe", "account", (Window(1, 60),)), "ann", only_while="paused")
    for _ in range(2):
        assert budgets.take(redis, BOB, probe, read=["paused"]).counts[1] == 0
    redis.set("paused", "yes")
    assert budgets.take(redis, probe, read=["other", "paused"]).allowed
    assert not budgets.take(redis, probe, read=["paused"]).allowed
    redis.delete("paused")
    assert budgets.take(redis, probe, read=["paused"]).allowed


def test_the_plain_form_survives_a_server_that_forgot_the_script(redis):
    budgets.take(redis, ANN)
    redis.script_flush()
    assert budgets.take(redis, ANN).counts == (2,)


def test_a_store_that_is_down_allows_nothing(redis, server):
    server.connected = False
    with pytest.raises(RedisConnectionError):
        budgets.take(redis, ANN)


# --- laws -------------------------------------------------------------------------------------------------------------

STEPS = st.lists(st.sampled_from(["take", "refund", "end short", "end long"]), max_size=60)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_no_window_ever_allows_more_than_its_max(steps):
    """What was allowed and not given back, since the window began, is at most its max; and it never refuses early."""
    redis = fakeredis.FakeRedis(decode_responses=True)
    held = {SHORT: 0, LONG: 0}
    for step in steps:
        (told,) = budgets.waits(redis, ANN)
        assert (told == 0) == all(held[window] < window.max for window in held)
        if step == "take":
            room = all(held[window] < window.max for window in held)
            taken = budgets.take(redis, ANN)
            assert taken.allowed == room
            if taken.allowed:
                held = {window: count + 1 for window, count in held.items()}
                assert taken.counts[0] == held[LONG]
            else:
                assert 1 <= taken.retry_after_seconds == told
        elif step == "refund":
            budgets.refund(redis, ANN)
            held = {window: max(0, count - 1) for window, count in held.items()}
        else:
            window = SHORT if step == "end short" else LONG
            end(redis, window)
            held[window] = 0
        assert counts(redis) == [held[SHORT], held[LONG]]
        assert all(held[window] <= window.max for window in held)
        assert all(redis.ttl(key) > 0 for key in redis.keys("*"))


RATES = [rate for module in (auth_limits, otp_limits) for rate in vars(module).values() if isinstance(rate, Rate)]


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: rate.name)
def test_every_row_of_our_tables_has_a_limit_that_grows_with_its_window(rate):
    assert rate.windows
    seconds, maxima = [w.seconds for w in rate.windows], [w.max for w in rate.windows]
    assert seconds == sorted(set(seconds))  # the shortest first: its count is the one that is told
    assert maxima == sorted(set(maxima))
    assert min(maxima) >= 1


def test_no_two_rows_share_their_counters():
    assert len({rate.name for rate in RATES}) == len(RATES)
