import copy
import json
import logging
import pickle
import traceback
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.secret import Secret

VALUE = "hunter2hunter2"


@dataclass(frozen=True)
class Holder:
    key: Secret[str]


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>30}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
        lambda secret: repr([secret, {"k": secret}, (secret,)]),
        lambda secret: repr(Holder(secret)),
        lambda secret: json.dumps({"k": secret}, default=str),
        lambda secret: logging.LogRecord("x", 20, "x", 1, "%s", (secret,), None).getMessage(),
        lambda secret: str(ValueError(secret)),
        lambda secret: "".join(traceback.format_exception_only(ValueError(secret))),
    ],
)
@pytest.mark.parametrize("value", [VALUE, VALUE.encode()])
def test_no_way_of_printing_it_shows_it(show, value):
    assert VALUE not in show(Secret(value))
    assert "***" in show(Secret(value))


@given(st.text() | st.binary())
def test_it_reveals_what_it_holds_and_shows_the_same_for_all(value):
    assert Secret(value).reveal() == value
    assert repr(Secret(value)) == str(Secret(value)) == "***"


def test_it_does_not_tell_its_length():
    assert repr(Secret("a")) == repr(Secret("a" * 99))


def test_it_has_no_dict_that_a_debugger_would_print():
    assert not hasattr(Secret(VALUE), "__dict__")


def test_it_is_neither_pickled_nor_copied_nor_hashed():
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, hash):
        with pytest.raises(TypeError) as error:
            leak(Secret(VALUE))
        assert VALUE not in str(error.value)


def test_json_does_not_take_it():
    with pytest.raises(TypeError):
        json.dumps(Secret(VALUE))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_two_are_equal_when_what_they_hold_is(one, other):
    assert (Secret(one) == Secret(other)) == (one == other)


def test_it_equals_no_plain_value():
    assert Secret(VALUE) != VALUE
    assert Secret(VALUE) != VALUE
