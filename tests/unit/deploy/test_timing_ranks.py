import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.timing.ranks import Verdict, compare

TIMES = st.lists(st.floats(0.001, 10), min_size=1, max_size=30)


def drawn(count, shift=0.0, seed=1):
    chance = random.Random(seed)
    return [chance.lognormvariate(0, 0.2) + shift for _ in range(count)]


def test_samples_of_one_kind_are_alike():
    assert compare(drawn(300, seed=1), drawn(300, seed=2)).verdict is Verdict.ALIKE


@pytest.mark.parametrize("shift", [0.2, -0.2, 5.0])
def test_a_shift_is_found_in_either_direction(shift):
    compared = compare(drawn(300, seed=1), drawn(300, shift, seed=2))
    assert (compared.auc > 0.5) == (shift > 0)
    assert compared.verdict is Verdict.TOLD_APART


def test_a_small_shift_is_named_and_tolerated():
    assert compare(drawn(900, seed=1), drawn(900, 0.025, seed=2)).verdict is Verdict.TRACE


def test_a_few_calls_that_hang_change_nothing():
    hanging = [1000.0] * 6
    assert compare(drawn(294, seed=1) + hanging, drawn(300, seed=2)).verdict is Verdict.ALIKE


def test_few_tries_show_nothing():
    assert compare(drawn(20, seed=1), drawn(20, seed=2)).verdict is Verdict.TOO_FEW


def test_all_the_same_is_alike_and_all_slower_is_one():
    assert compare([1.0] * 9, [1.0] * 9).auc == 0.5
    assert compare([1.0, 2.0], [3.0, 4.0]).auc == 1.0


@given(TIMES, TIMES)
def test_it_is_the_share_of_pairs_and_turns_round_with_them(first, second):
    auc = compare(first, second).auc
    pairs = [(one > other) + (one == other) / 2 for one in second for other in first]
    assert auc == pytest.approx(sum(pairs) / len(pairs))
    assert compare(second, first).auc == pytest.approx(1 - auc)
