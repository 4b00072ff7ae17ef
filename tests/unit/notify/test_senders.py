"""A text goes out when its sender signed it as what it is, with its id and its deadline; else no provider is asked."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify import tasks
from services.notify.delivery import deliver
from services.notify.domain.retries import DONE
from shared import delivery, sealed_text
from shared.clock import after
from shared.dead_letters import DeadLetters
from shared.keys import KeyList, encode_key
from shared.messages import (
    EMAIL_NOTICES,
    OTP,
    QUEUES,
    SENT_BY,
    SMS_CODES,
    SMS_NOTICES,
    SMS_RECEIPTS,
    RecordReceipt,
    SendEmailNotice,
    SendSmsNotice,
    UnreadableMessage,
    encode,
)
from shared.queueing import make_celery
from shared.sealed_text import SealedText
from shared.secret import Secret
from shared.signing import SignatureRefused, Signer
from tests.support.signing import SIGNERS, VERIFIER, signed
from tests.unit.notify.courier import START, Courier

STRANGER = Signer(OTP, KeyList.parse(f"g1:{encode_key(b'x' * 32)}"))


@pytest.fixture
def app(courier):
    celery = make_celery("test", Secret("memory://"))
    tasks.register_tasks(celery, courier.deps)
    return celery


def put(courier, text, message_id="msg_1"):
    pipeline = courier.redis.pipeline()
    delivery.queue_put(pipeline, message_id, text, now=courier.clock(), ttl=delivery.STATUS_LIVES_FOR)
    pipeline.execute()


def nobody_is_asked(courier):
    assert (courier.sms.calls, courier.email.calls) == (0, 0)


def set_aside(courier):
    return [(letter.queue, letter.reason) for letter in DeadLetters(courier.redis, courier.clock).all()]


# --- codes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "signature_of",
    [
        lambda *_: "",
        lambda *text: SealedText.sign(STRANGER, *text).signature,
        lambda *text: SealedText.sign(SIGNERS["auth"], *text).signature,
        lambda *text: SealedText.sign(SIGNERS["notify"], *text).signature,
        lambda *text: SIGNERS[OTP].sign("message", sealed_text._signed(*text)),
    ],
    ids=["unsigned", "stranger", "auth", "notify", "of another kind"],
)
def test_a_text_that_otp_did_not_sign_is_not_opened_and_fails(courier, signature_of, log_text):
    """Broker, Redis and notify's public key alone had any text sent to any number."""
    sealed, deadline = courier.seal(), after(START, 300)
    put(courier, SealedText(sealed, deadline, signature_of("msg_1", sealed, deadline)))
    without_keys = replace(courier.deps, private_keys=KeyList(()))
    assert deliver(without_keys, courier.order()) == DONE
    nobody_is_asked(courier)
    assert courier.status() == ("failed", "our_fault")
    assert "sign" in log_text()
    assert "no private key" not in log_text()


def test_a_text_under_another_message_id_is_refused(courier):
    """It would be sent a second time, and after its own order was carried out."""
    text = SealedText.sign(SIGNERS[OTP], "msg_1", courier.seal(), after(START, 300))
    put(courier, text, "msg_2")
    deliver(courier.deps, courier.order("msg_2"))
    nobody_is_asked(courier)


def test_an_order_with_another_deadline_is_set_aside_and_the_code_still_goes_out(courier, app):
    order = courier.code(life=300)
    for life in (60, 299, 86_400, -1):
        forged = courier.order(life=life)
        document = encode(forged)
        assert not tasks.settle(courier.deps, SMS_CODES, document)
        app.tasks[QUEUES[SMS_CODES]](document)
    nobody_is_asked(courier)
    assert set_aside(courier) == [(SMS_CODES, "its deadline is not that of the text")] * 4
    deliver(courier.deps, order)
    assert len(courier.sms.sent) == 1


def test_a_later_deadline_that_was_put_beside_the_text_is_refused(courier):
    courier.code(life=300)
    courier.redis.hset("notify:delivery:msg_1", "deadline", int(after(START, 3600).timestamp() * 1000))
    courier.clock.turn(200)
    deliver(courier.deps, courier.order(life=3400))
    nobody_is_asked(courier)
    assert courier.status()[0] == "failed"


def test_a_code_that_an_earlier_otp_left_unsigned_is_refused(courier):
    """For how long would it be taken? An upgrade renews otp five minutes before notify."""
    order = courier.code()
    courier.redis.hdel("notify:delivery:msg_1", "signature", "deadline")
    deliver(courier.deps, order)
    nobody_is_asked(courier)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_one_changed_bit_of_text_id_deadline_or_signature_is_refused(data):
    courier = Courier()
    text, message_id = SealedText.sign(SIGNERS[OTP], "msg_1", courier.seal(), after(START, 300)), "msg_1"
    text.require_sender(VERIFIER, message_id)
    part = data.draw(st.sampled_from(["sealed", "id", "deadline", "signature"]))
    if part == "deadline":
        moved = data.draw(st.integers(1, 2**40) | st.integers(-(2**40), -1))
        text = replace(text, deadline=after(text.deadline, moved / 1000))
    elif part == "id":
        message_id = _flipped(data, message_id)
    elif part == "sealed":
        text = replace(text, sealed=_flipped(data, text.sealed))
    else:
        key_id, _, encoded = text.signature.partition(".")
        raw = bytearray(base64.urlsafe_b64decode(encoded + "=="))
        bit = data.draw(st.integers(0, 511))
        raw[bit // 8] ^= 1 << bit % 8
        text = replace(text, signature=f"{key_id}.{encode_key(bytes(raw))}")
    with pytest.raises(SignatureRefused):
        text.require_sender(VERIFIER, message_id)


def _flipped(data, text):
    at, bit = data.draw(st.integers(0, len(text) - 1)), data.draw(st.integers(0, 6))
    return text[:at] + chr(ord(text[at]) ^ 1 << bit) + text[at + 1 :]


# --- notices and receipts ---------------------------------------------------------------------------------------------


def receipt(courier):
    return RecordReceipt(
        id="cmd_1", occurred_at=courier.clock(), message_id="msg_1", provider="twilio", provider_status="delivered"
    )


ORDERS = {
    SMS_NOTICES: lambda courier: courier.notice(),
    EMAIL_NOTICES: lambda courier: courier.email_notice(),
    SMS_RECEIPTS: receipt,
}


@pytest.mark.parametrize("queue", ORDERS)
def test_an_order_that_auth_signed_is_carried_out(courier, app, queue):
    courier.code()
    delivery.advance(courier.redis, "msg_1", delivery.DeliveryStatus.SENT, courier.clock())
    app.tasks[QUEUES[queue]](signed(ORDERS[queue](courier)))
    assert set_aside(courier) == []
    assert len(courier.sms.sent) + len(courier.email.sent) + (courier.status()[0] == "delivered") == 1


@pytest.mark.parametrize("queue", ORDERS)
def test_an_unsigned_order_is_set_aside(courier, app, queue):
    courier.code()
    order = ORDERS[queue](courier)
    app.tasks[QUEUES[queue]](encode(order))
    nobody_is_asked(courier)
    assert set_aside(courier) == [(queue, f"{order.TYPE}: not signed")]
    assert courier.status()[0] == "queued"


@pytest.mark.parametrize("member", ["message_id", "sealed", "deadline", "type"])
def test_a_notice_with_another_id_text_deadline_or_kind_is_set_aside(courier, member):
    """Each would have a text that was signed once sent again, or to somebody else."""
    document = signed(courier.notice())
    other = {
        "message_id": "ntc_2",
        "sealed": courier.seal("+41790000000"),
        "deadline": "2126-12-24T12:00:00.000000Z",
        "type": SendEmailNotice.TYPE,
    }
    queue = EMAIL_NOTICES if member == "type" else SMS_NOTICES
    gate = tasks.Gate(queue, VERIFIER, courier.clock)
    with pytest.raises(UnreadableMessage, match="not that of auth"):
        tasks.handle(courier.deps, gate, tasks.CONSUMERS[queue], document | {member: other[member]})
    nobody_is_asked(courier)


def test_a_code_is_no_notice(courier, app):
    """The sealed text of a code in an order for a notice, and the reverse."""
    courier.code()
    sealed = courier.redis.get("notify:sealed:msg_1")
    signature = courier.redis.hget("notify:delivery:msg_1", "signature")
    forged = encode(courier.notice(sealed=sealed)) | {"sender": "auth", "queue": SMS_NOTICES, "signature": signature}
    app.tasks[QUEUES[SMS_NOTICES]](forged)
    document = signed(courier.notice())
    put(courier, SealedText(document["sealed"], after(START, 300), document["signature"]), "msg_2")
    deliver(courier.deps, courier.order("msg_2"))
    nobody_is_asked(courier)


def test_every_order_for_notify_but_the_doorbell_is_signed_by_auth():
    assert {consumer.message: SENT_BY[consumer.message] for consumer in tasks.CONSUMERS.values()} == {
        tasks.CONSUMERS[SMS_CODES].message: None,
        RecordReceipt: "auth",
        SendSmsNotice: "auth",
        SendEmailNotice: "auth",
    }
