"""Phrases are drawn from many words, and are recognised however they are typed."""

import re

from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.phrases import WORDS, new_phrase, normalise


def test_the_words_are_many_short_lower_case_and_all_different() -> None:
    assert len(WORDS) >= 512
    assert len(set(WORDS)) == len(WORDS)
    assert all(re.fullmatch(r"[a-z]{3,10}", word) for word in WORDS)


@given(st.integers(1, 6))
def test_a_phrase_has_as_many_words_as_it_was_asked_for(count: int) -> None:
    words = new_phrase(count).split(" ")
    assert len(words) == count
    assert set(words) <= set(WORDS)


def test_phrases_are_not_drawn_twice_in_a_row() -> None:
    assert len({new_phrase(3) for _ in range(50)}) == 50


@given(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    st.sampled_from([" ", "  ", "-", " - ", "\t", ", ", "–", "\u00a0", "\u2212", "\u202f", "\uff0d"]),
    st.sampled_from([str.upper, str.title, str.lower]),
)
def test_a_phrase_is_the_same_in_any_case_and_with_any_separator(words, separator, case) -> None:
    assert normalise(f"\u200e  {case(separator.join(words))}\n") == " ".join(words)
    assert normalise(normalise(" ".join(words))) == " ".join(words)


def test_words_that_run_together_are_another_phrase() -> None:
    assert normalise("acidacorn") != normalise("acid acorn")
