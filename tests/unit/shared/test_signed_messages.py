"""A consumer takes what its sender signed for this queue, when it is due and not too old; all else it sets aside."""

import base64
import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.keys import KeyList, encode_key
from shared.messages import (
    AUTH,
    AUTH_EVENTS,
    NOTIFY,
    OTP,
    OTP_EVENTS,
    ROUTES,
    SENT_BY,
    RecoveryCodesRegenerated,
    SendSmsCode,
    TwoFactorDisabled,
    TwoFactorResetApproved,
    TwoFactorResetCoolOffEnded,
    UnreadableMessage,
    encode,
)
from shared.signed_messages import ACCEPTED_FOR, ADDED, EARLY_BY_CLOCK, HANDLED_KEPT_FOR, Gate, NotDueYet, sign
from shared.signing import SignatureRefused, Signer, Verifier, public_halves
from tests.support.signing import PUBLIC_KEYS, SIGNERS, VERIFIER, signed

NOW = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
SIGNED = sorted((kind for kind, sender in SENT_BY.items() if sender), key=lambda kind: kind.TYPE)
VALUES = {
    str: st.text(st.characters(exclude_categories=["Cs"])),
    str | None: st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    int: st.integers(),
    tuple[str, ...]: st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3).map(tuple),
    datetime: st.timedeltas(timedelta(), timedelta(days=5)).map(lambda age: NOW - age),
}


def gate(queue=AUTH_EVENTS, now=NOW, verifier=VERIFIER):
    return Gate(queue, verifier, lambda: now)


def disabled(**members):
    return TwoFactorDisabled(**({"id": "evt_1", "occurred_at": NOW, "account_id": "acc_1"} | members))


def cool_off_ended():
    return TwoFactorResetCoolOffEnded(id="msg_1", occurred_at=NOW, account_id="acc_1", reset_id="rst_1")


def messages(kind):
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: VALUES[hints[field.name]] for field in fields(kind)})


def refused(document, why, at=None):
    with pytest.raises(UnreadableMessage, match=why):
        (at or gate()).open(document)


# --- who sends what ---------------------------------------------------------------------------------------------------


def test_every_message_has_a_sender_or_is_the_doorbell():
    assert set(SENT_BY) == set(ROUTES)
    assert [kind for kind, sender in SENT_BY.items() if sender is None] == [SendSmsCode]
    assert not [kind for kind in ROUTES for field in fields(kind) if field.name in ADDED]


@pytest.mark.parametrize("kind", SIGNED, ids=lambda kind: kind.TYPE)
@given(data=st.data())
def test_what_its_sender_signed_is_taken_on_its_queue(kind, data):
    message = data.draw(messages(kind))
    [queue] = ROUTES[kind]
    assert gate(queue).open(json.loads(json.dumps(signed(message)))) == message


@pytest.mark.parametrize("kind", SIGNED, ids=lambda kind: kind.TYPE)
@given(data=st.data())
def test_what_another_service_signed_is_refused(kind, data):
    """With that service's own, good key."""
    message = data.draw(messages(kind))
    other = data.draw(st.sampled_from([sender for sender in (AUTH, OTP, NOTIFY) if sender != SENT_BY[kind]]))
    [queue] = ROUTES[kind]
    with pytest.raises(ValueError, match="does not send"):
        sign(message, SIGNERS[other], queue)
    forged = _signed_by(other, message, queue)
    refused(forged, SENT_BY[kind], gate(queue))
    refused(forged | {"sender": SENT_BY[kind]}, SENT_BY[kind], gate(queue))


def _signed_by(sender, message, queue):
    """What a service would make that does not keep to the table."""
    members = {**encode(message), "sender": sender, "queue": queue}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return members | {"signature": SIGNERS[sender].sign("message", text)}


def test_what_is_not_signed_is_refused():
    refused(encode(disabled()), "not signed")
    for nothing in (None, "", 7, [], {}, True):
        refused(signed(disabled()) | {"signature": nothing}, "two_factor.disabled: ")


def test_a_key_that_is_not_in_the_list_is_refused():
    stranger = Signer(OTP, KeyList.parse(f"x1:{encode_key(b'x' * 32)}"))
    refused(sign(disabled(), stranger, AUTH_EVENTS), "not in the list of otp")
    namesake = Signer(OTP, KeyList.parse(f"g1:{encode_key(b'x' * 32)}"))
    refused(sign(disabled(), namesake, AUTH_EVENTS), "not that of otp")


def test_a_consumer_refuses_a_sender_whose_keys_it_lacks():
    only_auth = Verifier({AUTH: PUBLIC_KEYS[AUTH]})
    refused(signed(disabled()), "not in the list of otp", gate(verifier=only_auth))


def test_a_message_for_another_queue_is_refused():
    approved = TwoFactorResetApproved(id="msg_1", occurred_at=NOW, account_id="acc_1", reset_id="rst_1")
    assert gate(OTP_EVENTS).open(signed(approved)) == approved
    refused(signed(approved), "another queue", gate(AUTH_EVENTS))
    refused(signed(disabled(), OTP_EVENTS), "another queue")


def test_a_signature_of_another_kind_of_text_is_refused():
    members = {**encode(disabled()), "sender": OTP, "queue": AUTH_EVENTS}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    refused(members | {"signature": SIGNERS[OTP].sign("sms_code", text)}, "not that of otp")


# --- every member -----------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_one_changed_character_of_any_member_is_refused(data):
    document = signed(cool_off_ended(), not_before=NOW)
    name = data.draw(st.sampled_from(sorted(document)))
    text = json.dumps(document[name])
    at = data.draw(st.integers(0, len(text) - 1))
    bit = data.draw(st.integers(0, 6))
    changed = text[:at] + chr(ord(text[at]) ^ 1 << bit) + text[at + 1 :]
    try:
        value = json.loads(changed)
    except ValueError:
        value = changed
    if value != document[name]:
        with pytest.raises(UnreadableMessage):
            gate().open(document | {name: value})


@given(st.integers(0, 511))
def test_one_changed_bit_of_the_signature_is_refused(bit):
    document = signed(disabled())
    key_id, _, encoded = document["signature"].partition(".")
    raw = bytearray(base64.urlsafe_b64decode(encoded + "=="))
    raw[bit // 8] ^= 1 << bit % 8
    refused(document | {"signature": f"{key_id}.{encode_key(bytes(raw))}"}, "not that of otp")


def test_a_signature_has_one_spelling():
    document = signed(disabled())
    for other in (document["signature"] + "=", document["signature"] + "==", document["signature"][:-1] + "x"):
        refused(document | {"signature": other}, "not that of otp")


@pytest.mark.parametrize("name", sorted(signed(cool_off_ended(), not_before=NOW)))
def test_a_member_that_is_missing_is_refused(name):
    document = signed(cool_off_ended(), not_before=NOW)
    with pytest.raises(UnreadableMessage):
        gate().open({member: value for member, value in document.items() if member != name})


def test_a_member_that_was_added_is_refused():
    refused(signed(disabled()) | {"session_id": "ses_thief"}, "not that of otp")
    refused(signed(disabled()) | {"surplus": 1}, "unknown members")
    refused(signed(disabled()) | {"not_before": "2026-11-24T05:00:00.000000Z"}, "not that of otp")
    refused(signed(disabled()) | {"sender": {"deep": float("inf")}}, "not that of otp")


# --- when -------------------------------------------------------------------------------------------------------------


def test_an_early_message_is_refused_and_one_early_by_a_clock_difference_is_retried():
    due = NOW + timedelta(hours=1)
    document = signed(cool_off_ended(), not_before=due)
    refused(document, "not due before", gate(now=due - EARLY_BY_CLOCK - timedelta(microseconds=1)))
    for early in (EARLY_BY_CLOCK, timedelta(microseconds=1)):
        with pytest.raises(NotDueYet):
            gate(now=due - early).open(document)
    assert gate(now=due).open(document) == cool_off_ended()


def test_what_is_older_than_the_memory_of_its_consumer_is_refused():
    """Else it would act a second time: the row that says it was handled may be gone."""
    assert ACCEPTED_FOR < HANDLED_KEPT_FOR
    document = signed(disabled())
    assert gate(now=NOW + ACCEPTED_FOR - timedelta(microseconds=1)).open(document)
    refused(document, "older", gate(now=NOW + ACCEPTED_FOR))


def test_a_message_that_waited_is_as_old_as_the_time_since_it_was_due():
    due = NOW + 2 * ACCEPTED_FOR
    document = signed(cool_off_ended(), not_before=due)
    assert gate(now=due + timedelta(hours=1)).open(document)
    refused(document, "older", gate(now=due + ACCEPTED_FOR))


# --- keys -------------------------------------------------------------------------------------------------------------


def test_the_public_halves_have_the_ids_and_the_order_of_the_list():
    keys = KeyList.parse(f"a2:{encode_key(b'2' * 32)},a1:{encode_key(b'1' * 32)}")
    public = public_halves(keys)
    assert [key.id for key in public] == ["a2", "a1"]
    signature = Signer(OTP, keys).sign("message", "text")
    assert signature.startswith("a2.")
    Verifier({OTP: public}).require(OTP, "message", "text", signature)
    with pytest.raises(SignatureRefused):
        Verifier({OTP: public}).require(OTP, "message", "text!", signature)


def test_neither_a_signer_nor_what_it_refuses_shows_a_key():
    seed = encode_key(OTP.encode().ljust(32))
    assert seed not in repr(SIGNERS[OTP])
    with pytest.raises(UnreadableMessage) as caught:
        gate().open(signed(disabled()) | {"signature": f"{seed}.x"})
    assert seed not in str(caught.value)


def test_a_message_is_small():
    """A batch of fifty is to stay a part of what a dead letter keeps."""
    regenerated = RecoveryCodesRegenerated(id="evt_" + "0" * 24, occurred_at=NOW, account_id="acc_" + "0" * 24)
    assert len(json.dumps(signed(regenerated))) < 400
