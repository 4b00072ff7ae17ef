import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.keys import Key, KeyList, encode_key
from shared.secret import Secret

A, B = b"a" * 32, b"b" * 32
KEY = Key("k1", Secret(A))
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(IDS, st.binary(min_size=32, max_size=32), min_size=1, max_size=5))
def test_a_list_reads_back_in_its_order(keys):
    parsed = KeyList.parse(",".join(f"{key_id}:{encode_key(material)}" for key_id, material in keys.items()))
    assert [(key.id, key.material.reveal()) for key in parsed] == list(keys.items())


def test_the_first_writes_and_all_read():
    keys = KeyList.parse(f"new:{encode_key(B)}, old:{encode_key(A)}")
    assert keys.newest.id == "new"
    assert keys.find("old").material.reveal() == A
    assert keys.find("retired") is None


@pytest.mark.parametrize("padding", ["", "="])
def test_padding_is_open(padding):
    assert KeyList.parse(f"k1:{encode_key(A)}{padding}").newest.material.reveal() == A


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        " , ",
        encode_key(A),
        f":{encode_key(A)}",
        f"k 1:{encode_key(A)}",
        f"kä:{encode_key(A)}",
        "k" * 33 + f":{encode_key(A)}",
        "k1:",
        "k1:!!!!",
        "k1:" + encode_key(A)[:-1] + "*",
        "k1:" + encode_key(A[:-1]),
        "k1:" + encode_key(A + b"a"),
        f"k1:{encode_key(A)},k1:{encode_key(B)}",
        f"k1:{encode_key(A)},k2:",
        f"k1\n:{encode_key(A)}",
    ],
)
def test_a_list_that_is_not_plain_is_refused_and_no_key_is_shown(text):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - each has its own words
        KeyList.parse(text)
    for material in (A, B):
        assert encode_key(material)[:8] not in str(error.value)


def test_another_size_may_be_asked_for():
    assert KeyList.parse(f"k1:{encode_key(b'x' * 16)}", size_bytes=16).newest.id == "k1"


def test_no_key_is_printed():
    for shown in (KEY, KeyList((KEY,)), [KEY], {"key": KEY}):
        assert "aaaa" not in repr(shown) + str(shown) + f"{shown}"
        assert encode_key(A) not in repr(shown)


@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=4))
def test_a_mac_tells_lists_of_parts_apart(one, other):
    assert (KEY.mac(*one) == KEY.mac(*other)) == (one == other)


def test_a_mac_depends_on_the_key_and_shows_neither_key_nor_parts():
    assert KEY.mac("a", "bc") != KEY.mac("ab", "c")
    assert KEY.mac("a") != Key("k1", Secret(B)).mac("a")
    assert len(KEY.mac("a")) == 64
    assert KEY.mac("a") == Key("another id", Secret(A)).mac("a")
