"""The decision: counts of hours in, the brake out."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.guessing import (
    HOURS_IN_A_LEVEL,
    HOURS_READ,
    KEPT_AN_HOUR,
    SHORTEST_HOURS,
    Hour,
    Rule,
    is_six_digits,
    read,
)

RULE = Rule(floor=1000, multiple=4)
QUIET = Hour(0)


def hours(*newest_first, then=0):
    """These counts, and the same one in each hour before them."""
    found = [Hour(count) for count in newest_first]
    return found + [Hour(then)] * (HOURS_READ - len(found))


def test_a_portal_that_is_never_attacked_is_never_braked():
    for honest in (0, 1, 20, 99):
        assert not read(RULE, hours(then=honest)).brakes


@pytest.mark.parametrize(("at_once", "brakes"), [(1000, False), (1001, True)])
def test_the_floor_is_met_at_once_by_a_burst(at_once, brakes):
    assert read(RULE, hours(at_once)).brakes is brakes


def test_the_floor_is_met_over_hours_by_a_trickle():
    assert not read(RULE, hours(*[110] * 22)).brakes
    assert read(RULE, hours(*[110] * 24)).brakes


def test_a_busy_portal_is_compared_with_its_own_week():
    busy = 300
    assert read(RULE, hours(then=busy)).threshold == pytest.approx(4 * busy * HOURS_IN_A_LEVEL)
    assert not read(RULE, hours(*[3 * busy] * 12, then=busy)).brakes
    assert read(RULE, hours(*[6 * busy] * 24, then=busy)).brakes


def test_the_last_day_is_not_usual_yet():
    assert read(RULE, hours(*[5000] * 24)).threshold == RULE.floor
    assert read(RULE, hours(*[5000] * 25)).threshold > RULE.floor


def test_an_attack_of_days_does_not_become_usual():
    """Else the brake would go off after days, with the attack on."""
    kept = [QUIET] * HOURS_READ
    for _ in range(30 * 24):
        kept = [Hour(5000), *kept[:-1]]
        seen = read(RULE, kept)
        assert seen.brakes
        kept[0] = Hour(5000, seen.counts_at_most)
    assert seen.threshold == pytest.approx(RULE.floor)


def test_an_attack_below_the_brake_raises_it_by_weeks():
    kept, thresholds = [QUIET] * HOURS_READ, []
    for hour in range(5 * 7 * 24):
        kept = [QUIET, *kept[:-1]]
        seen = read(RULE, kept)
        room = int(seen.threshold - seen.level)
        kept[0] = Hour(max(0, room), seen.counts_at_most)
        if hour % (7 * 24) == 0:
            thresholds.append(seen.threshold)
    assert thresholds[1] <= 1.4 * RULE.floor
    assert all(later <= 2 * earlier for earlier, later in pairwise(thresholds))


@given(counts=st.lists(st.integers(0, 10_000), max_size=HOURS_READ))
def test_it_decays_by_the_hour_and_ends_when_it_says(counts):
    now = hours(*counts)
    seen = read(RULE, now)
    assert (seen.hours_left > 0) == seen.brakes
    level = seen.level * KEPT_AN_HOUR**seen.hours_left
    assert level <= seen.threshold * (1 + 1e-9)
    assert seen.hours_left == 0 or seen.hours_left >= SHORTEST_HOURS
    if seen.hours_left > SHORTEST_HOURS:
        assert level / KEPT_AN_HOUR > seen.threshold * (1 - 1e-9)


@given(counts=st.lists(st.integers(0, 10_000), min_size=1, max_size=24), more=st.integers(1, 10_000))
def test_more_guesses_never_take_the_brake_off(counts, more):
    before, after = read(RULE, hours(*counts)), read(RULE, hours(counts[0] + more, *counts[1:]))
    assert after.level > before.level
    assert after.threshold == before.threshold


@pytest.mark.parametrize("code", ["000000", "424242"])
def test_six_digits_can_be_guessed(code):
    assert is_six_digits(code)


@pytest.mark.parametrize("code", ["", "42424", "4242424", "424 242", "４２４２４２", "K7Q2-9FXM-1111-2222", "424242\n"])
def test_nothing_else_is_six_digits_for_otp_either(code):
    assert not is_six_digits(code)
