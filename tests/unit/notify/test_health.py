from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain.health import (
    BAD_SENDS,
    PROBE_SECONDS,
    QUARANTINE_SECONDS,
    SAMPLES,
    SLOW_SECONDS,
    WINDOW,
    Health,
    Sample,
    is_good,
    judge,
)
from services.notify.providers import state
from services.notify.providers.transport import TIMEOUT_SECONDS
from shared.clock import after
from tests.unit.notify.courier import START


def history(sends: str) -> list[Sample]:
    """A send each second until now, oldest first: ``+`` went well, ``-`` did not. The samples, newest first."""
    return [Sample(after(START, -age), send == "+") for age, send in enumerate(reversed(sends))]


def test_a_provider_without_a_history_is_well():
    assert judge([], START) is Health.WELL


@pytest.mark.parametrize(
    ("sends", "health"),
    [
        ("-", Health.WELL),
        ("--", Health.WELL),
        ("---", Health.UNWELL),
        ("+" * 40 + "---", Health.UNWELL),
        ("-+-+-+", Health.UNWELL),
        ("-++-+-+", Health.WELL),
        ("---+++", Health.UNWELL),
        ("---++++", Health.WELL),
    ],
)
def test_three_bad_sends_in_a_row_or_half_of_the_window_are_too_many(sends, health):
    assert judge(history(sends), START) is health


def test_failures_of_before_the_window_count_no_more():
    late = after(START, WINDOW.total_seconds() - 1)
    assert judge(history("---+"), late) is Health.WELL


@pytest.mark.parametrize(("extra", "quarantine"), [*enumerate(QUARANTINE_SECONDS), (40, QUARANTINE_SECONDS[-1])])
def test_each_failed_probe_lengthens_the_quarantine_up_to_a_limit(extra, quarantine):
    samples = history("-" * (BAD_SENDS + extra))
    assert judge(samples, after(START, quarantine - 0.001)) is Health.UNWELL
    assert judge(samples, after(START, quarantine)) is Health.ON_PROBATION


@given(
    goods=st.lists(st.booleans(), max_size=SAMPLES),
    gaps=st.lists(st.floats(0, 400), min_size=SAMPLES, max_size=SAMPLES),
    quiet=st.floats(0, 4000),
)
def test_every_provider_is_tried_again_some_day(goods, gaps, quiet):
    moment, samples = START, []
    for good, gap in zip(goods, gaps, strict=False):
        moment = after(moment, gap)
        samples.insert(0, Sample(moment, good))
    if judge(samples, after(moment, quiet)) is Health.UNWELL:
        assert quiet < max(QUARANTINE_SECONDS[-1], WINDOW.total_seconds())


@given(count=st.integers(0, SAMPLES), quiet=st.floats(0, 4000))
def test_a_provider_that_never_failed_is_well(count, quiet):
    assert judge(history("+" * count), after(START, quiet)) is Health.WELL


def test_a_slow_answer_is_a_bad_send():
    assert is_good(SLOW_SECONDS - 0.1, failed=False)
    assert not is_good(SLOW_SECONDS, failed=False)
    assert not is_good(0.0, failed=True)


def test_a_probe_is_awaited_as_long_as_a_send_may_take():
    assert sum(TIMEOUT_SECONDS) < PROBE_SECONDS
    assert timedelta(seconds=QUARANTINE_SECONDS[-1]) < state.SAMPLES_KEPT_FOR


def test_samples_are_kept_newest_first_and_never_more_than_are_read(courier):
    for number in range(SAMPLES + 10):
        state.noting("twilio", Sample(after(START, number), good=number % 2 == 0)).run(courier.redis)
    samples = state.reading("msg_1", ["twilio", "http"]).run(courier.redis).samples
    assert samples["twilio"] == [
        Sample(after(START, number), good=number % 2 == 0) for number in reversed(range(10, SAMPLES + 10))
    ]
    assert samples["http"] == []
    assert courier.redis.llen("notify:health:twilio") == SAMPLES


def test_samples_that_are_all_good_are_not_read_and_judged_as_well(courier):
    for number in range(3):
        state.noting("twilio", Sample(after(START, number), good=True)).run(courier.redis)
    samples = state.reading("msg_1", ["twilio"]).run(courier.redis).samples
    assert samples == {"twilio": []}
    assert judge([], courier.clock()) is Health.WELL


@given(st.lists(st.integers(0, 10**6), max_size=SAMPLES), st.integers(0, 10**6))
def test_a_provider_whose_sends_were_all_good_is_well_at_any_time(seconds, now):
    samples = [Sample(after(START, second), good=True) for second in seconds]
    assert judge(samples, after(START, now)) is Health.WELL


def test_one_message_at_a_time_finds_out(courier):
    claim = lambda: state.claim_probe(courier.redis, "twilio", courier.clock())  # noqa: E731
    assert [claim(), claim(), claim()] == [True, False, False]
    courier.clock.turn(PROBE_SECONDS)
    assert [claim(), claim()] == [True, False]
