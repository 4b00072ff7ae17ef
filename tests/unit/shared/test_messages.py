import json
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.otp.domain.sms_text import LIVES_FOR
from shared import messages as words
from shared.messages import (
    KEPT_FOR,
    QUEUES,
    ROUTES,
    VERSION,
    Message,
    SendSmsCode,
    TwoFactorResetApproved,
    UnreadableMessage,
    compact,
    decode,
    encode,
)
from shared.messages import SecondFactorLocked as Locked
from tests.support.clock import NOW

KINDS = sorted(ROUTES, key=lambda kind: kind.TYPE)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = {
    str: TEXTS,
    str | None: st.none() | TEXTS,
    int: st.integers(),
    tuple[str, ...]: st.lists(TEXTS, max_size=3).map(tuple),
    datetime: st.datetimes(timezones=st.just(UTC)),
}
EXAMPLE = {"id": "evt_1", "occurred_at": "2026-11-24T05:00:00.000000Z", "account_id": "acc_1"}
DOCUMENT = {"type": Locked.TYPE, "version": VERSION, **EXAMPLE, "consecutive_failures": 100}


def messages(kind):
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: VALUES[hints[field.name]] for field in fields(kind)})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.TYPE)
@given(data=st.data())
def test_what_is_encoded_decodes_to_itself(kind, data):
    message = data.draw(messages(kind))
    assert decode(encode(message)) == message
    assert decode(json.loads(compact(encode(message)))) == message


@given(st.datetimes(), st.sampled_from(["+05:30", "-08:00"]))
def test_a_time_of_another_zone_is_the_same_moment(naive, zone):
    stamp = naive.replace(year=2028).isoformat(timespec="microseconds") + zone
    message = decode({**DOCUMENT, "occurred_at": stamp})
    assert message.occurred_at == datetime.fromisoformat(stamp)
    assert message.occurred_at.tzinfo is UTC


def test_a_member_with_a_default_may_be_absent():
    document = {"type": "two_factor.disabled", "version": VERSION, **EXAMPLE}
    assert decode(document).session_id is None


def test_a_member_with_its_default_is_left_out_for_a_release_that_does_not_know_it():
    approved = TwoFactorResetApproved(id="msg_1", occurred_at=NOW, account_id="acc_1", reset_id="rst_1")
    assert encode(approved).keys() == {"type", "version", "id", "occurred_at", "account_id", "reset_id"}
    assert encode(replace(approved, ended_by=("passkey",)))["ended_by"] == ("passkey",)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        7,
        {},
        {**DOCUMENT, "type": "unknown"},
        {**DOCUMENT, "type": None},
        {**DOCUMENT, "type": ["x"]},
        {**DOCUMENT, "type": {}},
        {**DOCUMENT, "version": VERSION + 1},
        {**DOCUMENT, "version": str(VERSION)},
        {**DOCUMENT, "version": None},
        {**DOCUMENT, "surplus": 1},
        {name: value for name, value in DOCUMENT.items() if name != "account_id"},
        {**DOCUMENT, "account_id": None},
        {**DOCUMENT, "account_id": 7},
        {**DOCUMENT, "consecutive_failures": "100"},
        {**DOCUMENT, "consecutive_failures": True},
        {**DOCUMENT, "consecutive_failures": 1.5},
        {**DOCUMENT, "occurred_at": 0},
        {**DOCUMENT, "occurred_at": "yesterday"},
        {**DOCUMENT, "occurred_at": "2026-11-24T05:00:00"},
        {**DOCUMENT, "occurred_at": None},
    ],
    ids=str,
)
def test_anything_else_is_unreadable_and_no_crash(document):
    with pytest.raises(UnreadableMessage):
        decode(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(name=st.sampled_from(sorted(DOCUMENT)), value=JSON)
def test_whatever_stands_in_a_member_it_is_read_or_unreadable(name, value):
    try:
        message = decode({**DOCUMENT, name: value})
    except UnreadableMessage:
        return
    assert isinstance(message, Locked)
    assert decode(encode(message)) == message


# --- the wiring -------------------------------------------------------------------------------------------------------


def test_every_message_goes_somewhere_and_every_queue_is_served():
    kinds = {kind for kind in vars(words).values() if isinstance(kind, type) and issubclass(kind, Message)}
    assert kinds - {Message} == set(ROUTES)
    assert {queue for queues in ROUTES.values() for queue in queues} == set(QUEUES)
    assert all(ROUTES.values())


def test_names_are_given_once():
    assert len({kind.TYPE for kind in ROUTES}) == len(ROUTES)
    assert len(set(QUEUES.values())) == len(QUEUES)


def test_no_code_that_could_be_sent_is_dropped_by_the_broker():
    """Its text is left before its order is published, and lives so long."""
    assert KEPT_FOR[SendSmsCode] >= LIVES_FOR


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.TYPE)
def test_no_message_has_a_member_for_a_secret(kind):
    """Attack 16: the broker is safe to read. ``sealed`` opens for notify alone."""
    forbidden = ("code", "secret", "phone", "password", "token", "email", "text", "body", "recipient")
    names = {field.name for field in fields(kind)}
    assert not [name for name in names for word in forbidden if word in name]
