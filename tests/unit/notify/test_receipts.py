import pytest

from services.notify.delivery import deliver
from services.notify.domain.retries import DONE
from services.notify.providers import twilio_codes
from services.notify.receipts import record_receipt
from shared.delivery import DeliveryStatus
from shared.delivery_reasons import DeliveryReason, sentence
from shared.messages import RecordReceipt
from tests.unit.notify.courier import ACCOUNT, START


def receipt(status, error=None, *, provider="twilio", message_id="msg_1"):
    return RecordReceipt(
        id="cmd_r",
        occurred_at=START,
        message_id=message_id,
        provider=provider,
        provider_status=status,
        provider_error=error,
    )


@pytest.fixture
def sent(courier):
    deliver(courier.deps, courier.code(account_id=None))
    courier.redis.delete("notify:changes")
    return courier


@pytest.mark.parametrize(
    ("word", "error", "status", "reason"),
    [
        ("delivered", None, "delivered", None),
        ("undelivered", "30003", "undelivered", "number_unreachable"),
        ("undelivered", "30006", "undelivered", "landline"),
        ("undelivered", "30007", "undelivered", "filtered"),
        ("failed", "30002", "failed", "our_fault"),
        ("failed", "30036", "failed", "too_late"),
        ("failed", "99999", "failed", "number_unreachable"),
        ("failed", None, "failed", "number_unreachable"),
        ("failed", "30006 ", "failed", "number_unreachable"),
        ("failed", "３０００６", "failed", "number_unreachable"),
    ],
)
def test_the_carriers_word_advances_the_delivery(sent, word, error, status, reason):
    assert record_receipt(sent.deps, receipt(word, error)) == DONE
    assert sent.status() == (status, reason)
    [event] = sent.changes()
    assert (event.account_id, event.status, event.reason, event.provider) == (ACCOUNT, status, reason, "twilio")


@pytest.mark.parametrize("word", ["queued", "accepted", "scheduled", "sending", "sent"])
def test_words_that_say_nothing_new_change_nothing(sent, word):
    record_receipt(sent.deps, receipt(word))
    assert sent.status() == ("sent", None)
    assert sent.told() == []


def test_a_receipt_twice_is_one_event(sent):
    for _ in range(2):
        record_receipt(sent.deps, receipt("delivered"))
    assert sent.told() == [("delivered", None)]


def test_a_late_sent_does_not_undo_delivered(sent):
    record_receipt(sent.deps, receipt("delivered"))
    record_receipt(sent.deps, receipt("sent"))
    record_receipt(sent.deps, receipt("failed", "30008"))
    assert sent.status() == ("delivered", None)


def test_a_receipt_that_overtakes_our_own_record_wins(courier):
    order = courier.code()
    courier.sms.troubles = [lambda: record_receipt(courier.deps, receipt("delivered"))]
    deliver(courier.deps, order)
    assert courier.status() == ("delivered", None)
    assert courier.told() == [("delivered", None)]


@pytest.mark.parametrize(
    "odd",
    [receipt("delivered", provider="pigeon"), receipt("teleported"), receipt("delivered", message_id="msg_unknown")],
)
def test_what_we_do_not_know_changes_nothing(sent, odd):
    assert record_receipt(sent.deps, odd) == DONE
    assert sent.status() == ("sent", None)
    assert sent.status("msg_unknown") == ("unknown", None)
    assert sent.told() == []


def test_every_status_of_twilios_has_a_reading():
    for word in twilio_codes.STATUSES:
        assert twilio_codes.read_receipt(word, None) is not None


@pytest.mark.parametrize("status", [DeliveryStatus.UNDELIVERED, DeliveryStatus.FAILED])
def test_what_failed_always_has_a_reason(status):
    words = [word for word, ours in twilio_codes.STATUSES.items() if ours is status]
    for word in words:
        for error in (None, "", "0", *map(str, twilio_codes.ERRORS)):
            assert twilio_codes.read_receipt(word, error).reason is not None


def test_every_reason_has_a_sentence_of_its_own():
    sentences = [sentence(reason) for reason in DeliveryReason]
    assert len(set(sentences)) == len(sentences)
    assert all(text.endswith((".", "?")) for text in sentences)
    assert sentence("a code of the future") not in sentences
