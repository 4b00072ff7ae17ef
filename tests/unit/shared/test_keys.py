import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.keys import Key, KeyList, RotationError, encode_key
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


# --- rotation ---------------------------------------------------------------------------------------------------------


def ids(keys):
    return [key.id for key in keys]


def test_a_key_is_added_behind_the_first_then_used_then_the_old_ones_are_dropped():
    keys = KeyList.parse(f"k2:{encode_key(B)},k1:{encode_key(A)}")
    added = keys.added(b"c" * 32)
    assert ids(added) == ["k2", "k3", "k1"]
    assert added.find("k3").material.reveal() == b"c" * 32
    assert ids(added.used()) == ["k3", "k2", "k1"]
    assert ids(added.used().dropped()) == ["k3"]


@pytest.mark.parametrize(("first", "then"), [("dev1", "dev2"), ("2026-11", "2026-12"), ("a", "a1"), ("k9", "k10")])
def test_a_new_key_has_the_next_number(first, then):
    assert ids(KeyList.parse(f"{first}:{encode_key(A)}").added(B)) == [first, then]


def test_a_number_never_comes_again():
    """A stored id must not come to mean another key: the newest one, which is never dropped, has the highest number."""
    keys, seen = KeyList.parse(f"k1:{encode_key(A)}"), ["k1"]
    for _ in range(12):
        keys = keys.added(B).used().dropped()
        seen += ids(keys)
    assert len(set(seen)) == len(seen) == 13


def test_a_step_that_is_not_due_is_refused():
    keys = KeyList.parse(f"k1:{encode_key(A)}")
    added = keys.added(B)
    for step, reason in (
        (lambda: added.added(B), "k2 waits to be used already"),
        (added.dropped, "k2 is the new one"),
        (keys.used, "no new key waits"),
        (added.used().used, "no new key waits"),
        (keys.dropped, "k1 is the only one"),
        (lambda: KeyList.parse(f"{'k' * 32}:{encode_key(A)}").added(B), "too long an id"),
    ):
        with pytest.raises(RotationError, match=reason):
            step()


@given(st.dictionaries(IDS, st.binary(min_size=32, max_size=32), min_size=1, max_size=5))
def test_what_is_dumped_reads_back(keys):
    listed = KeyList(tuple(Key(key_id, Secret(material)) for key_id, material in keys.items()))
    assert KeyList.parse(listed.dump()) == listed


@pytest.mark.parametrize(("key_id", "expected"), [("dev1", True), ("dev27", True), ("dev", False), ("k1", False),
                                                  ("device1", False), ("mydev1", False)])  # fmt: skip
def test_keys_of_a_development_stack_are_known_by_their_ids(key_id, expected):
    assert Key(key_id, Secret(A)).is_for_development is expected
