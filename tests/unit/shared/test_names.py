import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.names import is_name
from tests.support.names import NAMES


@pytest.mark.parametrize("name", [*NAMES, "Ann", "李小龍", "Đorđe", "J. R. \u202fTolkien"], ids=ascii)
def test_names_of_people_are_names(name):
    assert is_name(name, 200)


@pytest.mark.parametrize(
    "control", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\n\r\v\f\u0085\u2028\u2029\t\0\ufeff\u200b"
)
def test_what_hides_or_moves_other_text_is_refused(control):
    assert not is_name(f"Ann{control}Bob", 200)


@pytest.mark.parametrize("empty", ["", " ", "\u00a0", "\u200d", "\u200c \u3000", "\u0301"], ids=ascii)
def test_a_name_can_be_seen(empty):
    assert not is_name(empty, 200)


def test_a_name_has_an_end():
    assert is_name("a" * 200, 200)
    assert not is_name("a" * 201, 200)


@given(st.text(min_size=1, max_size=20))
def test_what_is_printable_and_can_be_seen_is_a_name(text):
    if text.isprintable() and any(unicodedata.category(one)[0] in "LN" for one in text):
        assert is_name(text, 20)
