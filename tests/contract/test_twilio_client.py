"""Our Twilio provider over real HTTP, against a stub that checks every request."""

import socket
import threading
import time
from datetime import UTC, datetime

import fakeredis
import pytest

from services.notify.domain.verdict import Verdict
from services.notify.providers import (
    ProviderMisconfigured,
    ProviderUnavailable,
    RecipientRejected,
    SmsMessage,
    transport,
)
from services.notify.providers.twilio import TwilioSms
from services.notify.providers.twilio_codes import ERRORS
from services.notify.settings import TwilioSettings
from shared.delivery_reasons import DeliveryReason
from shared.phone import PhoneNumber
from shared.secret import Secret
from tests.support.free_port import free_port
from tests.support.twilio_stub import ACCOUNT_SID, AUTH_TOKEN, Behaviour, TwilioStub

PHONE = "+41791234567"
BODY = "Your code is 481516. Ümläut ✓\n\n@portal.example #481516"
KINDS = {
    Verdict.RETRY: ProviderUnavailable,
    Verdict.OUR_FAULT: ProviderMisconfigured,
    Verdict.REJECT: RecipientRejected,
}


@pytest.fixture
def stub():
    with TwilioStub() as server:
        yield server


def provider(base_url, **change) -> TwilioSms:
    settings = {
        "account_sid": ACCOUNT_SID,
        "auth_token": Secret(AUTH_TOKEN),
        "messaging_service_sid": "MG" + "1" * 32,
        "from_number": None,
        "api_base_url": base_url,
        "status_callback_url": None,
        "call_from": None,
        "call_url": None,
    }
    return TwilioSms(TwilioSettings(**(settings | change)), fakeredis.FakeStrictRedis(decode_responses=True))


def message(*, valid_for=300, wants_receipt=True, body=BODY, number=PHONE) -> SmsMessage:
    return SmsMessage("msg_1", PhoneNumber(number), body, valid_for, wants_receipt=wants_receipt)


def test_a_message_by_messaging_service(stub):
    sid = provider(stub.url).send(message())
    [received] = stub.messages
    assert received.sid == sid
    assert (received.to, received.body, received.sender) == (PHONE, BODY, "MG" + "1" * 32)
    assert received.validity_period == 300
    assert received.status_callback is None
    assert stub.faults == []


def test_a_message_by_number(stub):
    provider(stub.url, messaging_service_sid=None, from_number="+15550001111").send(message())
    assert stub.messages[0].sender == "+15550001111"


@pytest.mark.parametrize(("left", "told"), [(-5, 1), (0, 1), (1, 1), (36_000, 36_000), (90_000, 36_000)])
def test_the_validity_period_stays_in_twilios_range(stub, left, told):
    provider(stub.url).send(message(valid_for=left))
    assert stub.messages[0].validity_period == told


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        (
            "https://p.example/v1/callbacks/twilio/status",
            "https://p.example/v1/callbacks/twilio/status?message_id=msg_1",
        ),
        ("https://p.example/cb?shard=2", "https://p.example/cb?shard=2&message_id=msg_1"),
    ],
)
def test_the_callback_names_our_message(stub, url, asked):
    provider(stub.url, status_callback_url=url).send(message())
    assert stub.messages[0].status_callback == asked


def test_a_notice_asks_for_no_receipt(stub):
    provider(stub.url, status_callback_url="https://p.example/cb").send(message(wants_receipt=False))
    assert stub.messages[0].status_callback is None


def test_the_base_url_may_have_a_path_and_the_edge_is_not_taken_from_the_environment(stub, monkeypatch):
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    monkeypatch.setenv("TWILIO_REGION", "au1")
    with pytest.raises(ProviderMisconfigured):
        provider(stub.url + "/gateway/").send(message())
    assert stub.faults == ["no such path"]
    provider(stub.url + "/").send(message())
    assert len(stub.messages) == 1


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_code_of_the_table(stub, code):
    status = {20003: 401, 20404: 404, 20429: 429, 20503: 503, 21611: 429}.get(code, 400)
    stub.will(Behaviour(status=status, code=code))
    with pytest.raises(Exception, match=f"twilio {code} ") as refused:
        provider(stub.url).send(message())
    assert type(refused.value) is KINDS[ERRORS[code].verdict]
    assert refused.value.reason == ERRORS[code].reason
    assert not getattr(refused.value, "maybe_sent", False)
    assert stub.requests == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 29999, ProviderMisconfigured),
        (401, None, ProviderMisconfigured),
        (403, 29999, ProviderMisconfigured),
        (404, None, ProviderMisconfigured),
        (302, None, ProviderMisconfigured),
        (429, None, ProviderUnavailable),
        (429, 29999, ProviderUnavailable),
        (500, None, ProviderUnavailable),
        (503, 29999, ProviderUnavailable),
    ],
)
def test_an_unknown_code_falls_back_to_the_status_and_never_blames_the_recipient(stub, status, code, kind):
    stub.will(Behaviour(status=status, code=code))
    with pytest.raises(ProviderUnavailable) as refused:
        provider(stub.url).send(message())
    assert type(refused.value) is kind


@pytest.mark.parametrize(
    ("status", "maybe"), [(429, False), (500, True), (502, True), (503, False), (504, True), (520, True), (599, True)]
)
def test_which_statuses_leave_open_whether_it_was_sent(stub, status, maybe):
    stub.will(Behaviour(status=status))
    with pytest.raises(ProviderUnavailable) as refused:
        provider(stub.url).send(message())
    assert refused.value.maybe_sent is maybe
    assert stub.requests == 1


@pytest.mark.parametrize("reset", ["before", "after"])
def test_a_reset_is_maybe_sent_and_never_repeated(stub, reset):
    stub.will(Behaviour(reset=reset))
    with pytest.raises(ProviderUnavailable) as broken:
        provider(stub.url).send(message())
    assert broken.value.maybe_sent
    assert type(broken.value) is ProviderUnavailable
    assert stub.requests == 1


def test_a_read_time_out_is_maybe_sent_and_never_repeated(stub, monkeypatch):
    monkeypatch.setattr(transport, "TIMEOUT_SECONDS", (5.0, 0.2))
    stub.will(Behaviour(delay=0.6))
    with pytest.raises(ProviderUnavailable, match="ReadTimeout") as slow:
        provider(stub.url).send(message())
    assert slow.value.maybe_sent
    assert len(stub.messages) == 1


def test_time_outs_are_five_seconds():
    assert transport.TIMEOUT_SECONDS == (5.0, 5.0)


def test_a_closed_port_was_never_sent():
    with pytest.raises(ProviderUnavailable) as down:
        provider(f"http://127.0.0.1:{free_port()}").send(message())
    assert not down.value.maybe_sent


def test_a_name_that_does_not_resolve_was_never_sent():
    with pytest.raises(ProviderUnavailable) as down:
        provider("http://twilio.invalid").send(message())
    assert not down.value.maybe_sent


def test_a_connection_that_is_never_accepted_was_never_sent(monkeypatch):
    monkeypatch.setattr(transport, "TIMEOUT_SECONDS", (0.2, 5.0))
    with socket.socket() as full:
        full.bind(("127.0.0.1", free_port()))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(full.getsockname())
        time.sleep(0.1)
        with pytest.raises(ProviderUnavailable, match="Timeout") as slow:
            provider(f"http://127.0.0.1:{full.getsockname()[1]}").send(message())
        for filler in fillers:
            filler.close()
    assert not slow.value.maybe_sent


@pytest.mark.parametrize("body", ["", "<html>", "[]", "null", '"text"', "{}", '{"sid": null}'])
def test_a_good_status_without_twilios_json_is_maybe_sent(stub, body):
    stub.will(Behaviour(body=body or " "))
    with pytest.raises(ProviderUnavailable) as odd:
        provider(stub.url).send(message())
    assert odd.value.maybe_sent
    assert stub.requests == 1


@pytest.mark.parametrize(
    "body",
    ["[]", "null", '{"code": "21211"}', '{"code": {"a": 1}}', '{"type":"t","title":"t","status":"x","code":"y"}'],
)
def test_an_odd_error_document_is_an_error_all_the_same(stub, body):
    stub.will(Behaviour(status=400, body=body))
    with pytest.raises((ProviderUnavailable, RecipientRejected)):
        provider(stub.url).send(message())


def test_a_problem_document_is_read_too(stub):
    stub.will(Behaviour(status=400, body='{"type": "t", "title": "t", "status": 400, "code": 21610}'))
    with pytest.raises(RecipientRejected) as refused:
        provider(stub.url).send(message())
    assert refused.value.reason is DeliveryReason.UNSUBSCRIBED


def test_one_connection_serves_many_messages(stub):
    sms = provider(stub.url)
    for _ in range(20):
        sms.send(message())
    assert stub.connections == 1


def test_threads_share_the_pool(stub):
    sms = provider(stub.url)
    stub.default = Behaviour(delay=0.05)

    def work():
        for _ in range(5):
            sms.send(message())

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stub.messages) == 80
    assert stub.connections <= 16
    assert stub.faults == []


def test_a_wrong_token_is_our_fault(stub):
    with pytest.raises(ProviderMisconfigured, match="20003"):
        provider(stub.url, auth_token=Secret("wrong")).send(message())


@pytest.mark.parametrize(
    "trouble", [Behaviour(status=400, code=21211), Behaviour(reset="after"), Behaviour(status=500)]
)
def test_no_error_quotes_the_number_or_the_text(stub, trouble):
    import traceback

    stub.will(trouble)
    with pytest.raises((ProviderUnavailable, RecipientRejected)) as refused:
        provider(stub.url).send(message())
    shown = "".join(traceback.format_exception(refused.value))
    for planted in (PHONE, PHONE[1:], "%2B41", "481516", AUTH_TOKEN):
        assert planted not in shown


def test_a_message_never_prints_its_content():
    assert "481516" not in repr(message())
    assert PHONE not in repr(message())


def test_the_stub_notes_when_a_message_arrived(stub):
    provider(stub.url).send(message())
    assert abs(stub.messages[0].wall - datetime.now(UTC).timestamp()) < 5
