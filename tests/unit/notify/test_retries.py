from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain import retries
from services.notify.domain.retries import Again, hop, next_attempt
from shared.brokers import LONGEST_COUNTDOWN_SECONDS, VISIBILITY_TIMEOUT_SECONDS
from shared.clock import after
from shared.delivery import LEASE
from tests.unit.notify.courier import START

TABLES = [retries.CODE_DELAYS, retries.MAYBE_SENT_DELAYS, retries.NOTICE_DELAYS]


@given(
    attempt=st.integers(1, 1000),
    left=st.floats(-1000, 100_000, allow_nan=False),
    delays=st.sampled_from(TABLES),
)
def test_the_next_attempt_never_passes_the_deadline(attempt, left, delays):
    deadline = START + timedelta(seconds=left)
    delay = next_attempt(attempt, START, deadline, delays)
    if delay is None:
        assert after(START, delays[min(attempt, len(delays)) - 1]) >= deadline
    else:
        assert delay in delays
        assert after(START, delay) < deadline


@given(seconds=st.floats(-10, 1e9, allow_nan=False))
def test_a_hop_stays_far_below_the_visibility_timeout(seconds):
    assert 0 < hop(seconds).seconds <= LONGEST_COUNTDOWN_SECONDS <= VISIBILITY_TIMEOUT_SECONDS / 3
    if 1 <= seconds <= retries.LONGEST_HOP_SECONDS:
        assert hop(seconds) == Again(seconds)


def test_a_pause_of_the_store_is_a_hop_too():
    assert hop(retries.STORE_PAUSE_SECONDS) == Again(retries.STORE_PAUSE_SECONDS)


def test_recording_takes_less_than_the_lease_leaves():
    # A send may take 10 s (5 to connect, 5 to read); a store that is down refuses at once.
    assert sum(retries.RECORD_PAUSES) < VISIBILITY_TIMEOUT_SECONDS - 10
    assert VISIBILITY_TIMEOUT_SECONDS > LEASE.total_seconds() > 10


@pytest.mark.parametrize("delays", TABLES)
def test_delays_grow(delays):
    assert list(delays) == sorted(delays)


def test_a_code_is_tried_often_while_it_lives():
    tries, now, deadline = 1, START, after(START, 300)
    while (delay := next_attempt(tries, now, deadline, retries.CODE_DELAYS)) is not None:
        tries, now = tries + 1, after(now, delay)
    assert tries > 50
