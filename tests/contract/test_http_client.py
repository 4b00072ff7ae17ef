"""The ``http`` provider over real HTTP, against a gateway that checks signatures with the standard's own library."""

import socket
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from services.notify.domain.verdict import Verdict
from services.notify.providers import (
    ProviderMisconfigured,
    ProviderUnavailable,
    RecipientRejected,
    SmsMessage,
    http_answers,
    transport,
)
from services.notify.providers.http import HttpSms
from services.notify.settings import HttpSmsSettings
from shared.clock import system_clock
from shared.delivery_reasons import DeliveryReason
from shared.keys import Key, KeyList
from shared.phone import PhoneNumber
from shared.secret import Secret
from tests.support.free_port import free_port
from tests.support.http_stub import KEY, HttpStub
from tests.support.tls import server_context
from tests.support.twilio_stub import Behaviour

PHONE = "+41791234567"
BODY = "Your code is 481516. Ümläut ✓\n\n@portal.example #481516"
OTHER_KEY = bytes(32)


@pytest.fixture
def stub():
    with HttpStub() as server:
        yield server


def keys(*materials) -> KeyList:
    return KeyList(tuple(Key(f"k{number}", Secret(material)) for number, material in enumerate(materials)))


def provider(url, *materials, clock=system_clock) -> HttpSms:
    return HttpSms(HttpSmsSettings(url, keys(*(materials or (KEY,)))), clock)


def message(message_id="msg_1", valid_for=300) -> SmsMessage:
    return SmsMessage(message_id, PhoneNumber(PHONE), BODY, valid_for, wants_receipt=True)


def test_a_message_is_signed_and_arrives_whole(stub):
    assert provider(stub.sms_url).send(message()) == "gw_1"
    [received] = stub.messages
    assert (received.to, received.body, received.validity_period) == (PHONE, BODY, 300)
    [document] = stub.bodies
    assert document["type"] == "sms.send"
    assert abs(datetime.fromisoformat(document["timestamp"]) - datetime.now(UTC)).total_seconds() < 5
    assert stub.faults == []


def test_the_signature_is_the_standards():
    """The vector of https://github.com/standard-webhooks/standard-webhooks, spec: signing."""
    signer = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    moment = datetime.fromtimestamp(1614265330, UTC)
    signed = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", moment, '{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("materials", [(OTHER_KEY, KEY), (KEY, OTHER_KEY)])
def test_while_keys_are_rotated_the_gateway_may_hold_either(stub, materials):
    provider(stub.sms_url, *materials).send(message())
    assert len(stub.messages) == 1


def test_a_key_that_the_gateway_does_not_know_is_our_fault(stub):
    with pytest.raises(ProviderMisconfigured, match="http 401"):
        provider(stub.sms_url, OTHER_KEY).send(message())
    assert stub.messages == []


def test_a_gateway_that_checks_the_time_refuses_an_old_request(stub):
    with pytest.raises(ProviderMisconfigured):
        provider(stub.sms_url, clock=lambda: datetime(2020, 1, 1, tzinfo=UTC)).send(message())
    assert stub.faults == ["Message timestamp too old"]


def test_the_same_message_twice_has_the_same_id_and_is_one_sms(stub):
    sms = provider(stub.sms_url)
    assert sms.idempotent
    assert [sms.send(message()), sms.send(message()), sms.send(message("msg_2"))] == ["gw_1", "gw_1", "gw_2"]
    assert len(stub.messages) == 2


def test_a_message_never_has_less_than_a_second(stub):
    provider(stub.sms_url).send(message(valid_for=-3))
    assert stub.messages[0].validity_period == 1


@pytest.mark.parametrize(
    "body",
    [
        " ",
        "<html>",
        "[]",
        "null",
        "{}",
        '{"id": null}',
        '{"id": 7}',
        '{"id": ""}',
        "[" * 100_000,
    ],
)
def test_a_good_status_is_enough(stub, body):
    stub.will(Behaviour(body=body))
    assert provider(stub.sms_url).send(message()) == "msg_1"


KINDS = {
    Verdict.RETRY: (ProviderUnavailable, False),
    Verdict.MAYBE_SENT: (ProviderUnavailable, True),
    Verdict.OUR_FAULT: (ProviderMisconfigured, False),
    Verdict.REJECT: (RecipientRejected, False),
}


@pytest.mark.parametrize(
    "status", [*http_answers.STATUSES, 300, 302, 307, 400, 401, 403, 404, 405, 410, 413, 415, 451, 500, 502, 504, 599]
)
def test_every_status_has_one_meaning(stub, status):
    stub.will(Behaviour(status=status))
    kind, maybe = KINDS[http_answers.verdict(status)]
    with pytest.raises(Exception, match=f"http {status}") as refused:
        provider(stub.sms_url).send(message())
    assert type(refused.value) is kind
    assert getattr(refused.value, "maybe_sent", False) is maybe
    assert stub.requests == 1


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.SENT),
        (202, Verdict.SENT),
        (204, Verdict.SENT),
        (302, Verdict.OUR_FAULT),
        (401, Verdict.OUR_FAULT),
        (410, Verdict.OUR_FAULT),
        (409, Verdict.MAYBE_SENT),
        (422, Verdict.REJECT),
        (429, Verdict.RETRY),
        (500, Verdict.MAYBE_SENT),
        (502, Verdict.MAYBE_SENT),
        (503, Verdict.RETRY),
        (504, Verdict.MAYBE_SENT),
    ],
)
def test_the_table_of_answers(status, verdict):
    assert http_answers.verdict(status) is verdict


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"reason": "landline"}, DeliveryReason.LANDLINE),
        ({"reason": "unsubscribed"}, DeliveryReason.UNSUBSCRIBED),
        ({"reason": "our_fault"}, DeliveryReason.NUMBER_REFUSED),
        ({"reason": ["landline"]}, DeliveryReason.NUMBER_REFUSED),
        ({}, DeliveryReason.NUMBER_REFUSED),
        (None, DeliveryReason.NUMBER_REFUSED),
        ("landline", DeliveryReason.NUMBER_REFUSED),
    ],
)
def test_a_gateway_may_say_why_it_refuses_a_number(said, reason):
    assert http_answers.reason(said) is reason


def test_a_redirect_is_not_followed(stub):
    stub.will(Behaviour(status=307))
    with pytest.raises(ProviderMisconfigured):
        provider(stub.sms_url).send(message())
    assert stub.requests == 1
    assert stub.messages == []


@pytest.mark.parametrize("reset", ["before", "after"])
def test_a_reset_is_maybe_sent_and_never_repeated_here(stub, reset):
    stub.will(Behaviour(reset=reset))
    with pytest.raises(ProviderUnavailable) as broken:
        provider(stub.sms_url).send(message())
    assert broken.value.maybe_sent
    assert stub.requests == 1


def test_a_read_time_out_is_maybe_sent(stub, monkeypatch):
    monkeypatch.setattr(transport, "TIMEOUT_SECONDS", (5.0, 0.2))
    stub.will(Behaviour(delay=0.6))
    with pytest.raises(ProviderUnavailable, match="ReadTimeout") as slow:
        provider(stub.sms_url).send(message())
    assert slow.value.maybe_sent


@pytest.mark.parametrize("url", ["http://127.0.0.1:{free_port}/sms", "http://gateway.invalid/sms"])
def test_what_could_not_be_reached_was_never_sent(url):
    with pytest.raises(ProviderUnavailable) as down:
        provider(url.format(free_port=free_port())).send(message())
    assert not down.value.maybe_sent


def test_what_took_too_long_to_connect_is_not_written(stub, monkeypatch):
    """A name that resolves slowly, or to many dead addresses: another worker may have the message by then."""
    look_up = socket.getaddrinfo

    def slow(*args, **kwargs):
        time.sleep(0.5)
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(transport, "TIMEOUT_SECONDS", (0.3, 5.0))
    with pytest.raises(ProviderUnavailable, match="ConnectTimeout") as late:
        provider(stub.sms_url).send(message())
    assert not late.value.maybe_sent
    assert stub.requests == 0


@pytest.fixture
def tls_stub(tmp_path):
    context, certificate = server_context(tmp_path)
    with HttpStub() as stub:
        stub.speak_tls(context)
        yield f"https://127.0.0.1:{stub.port}/sms", certificate, stub


def test_tls_with_a_certificate_that_the_environment_trusts(tls_stub, monkeypatch):
    url, certificate, stub = tls_stub
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert provider(url).send(message()) == "gw_1"
    assert stub.faults == []


def test_a_certificate_that_nobody_trusts_gets_no_text(tls_stub):
    url, _, stub = tls_stub
    with pytest.raises(ProviderUnavailable, match="SSLError") as refused:
        provider(url).send(message())
    assert not refused.value.maybe_sent
    assert stub.requests == 0


def test_one_connection_serves_many_messages(stub):
    sms = provider(stub.sms_url)
    for number in range(20):
        sms.send(message(f"msg_{number}"))
    assert stub.connections == 1


def test_an_idle_connection_is_kept_alive(stub):
    sms = provider(stub.sms_url)
    sms.send(message())
    connection = sms._line._poster._get_conn()
    assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    connection.close()


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://sms.example.com:8080/v1/sms?team=7", "POST http://sms.example.com:8080/v1/sms?team=7 HTTP/1.1"),
        ("https://sms.example.com/v1/sms", "CONNECT sms.example.com:443 HTTP/1.0"),
    ],
)
def test_a_proxy_of_the_environment_is_asked_for_the_whole_url(monkeypatch, url, asked):
    with socket.create_server(("127.0.0.1", 0)) as proxy, ThreadPoolExecutor() as threads:
        proxy.settimeout(5)
        monkeypatch.setenv(f"{url.partition(':')[0]}_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")

        def refuse() -> str:
            connection = proxy.accept()[0]
            with connection, connection.makefile("rb") as lines:
                first = lines.readline().decode().strip()
                connection.sendall(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n")
            return first

        heard = threads.submit(refuse)
        with pytest.raises(ProviderUnavailable) as refused:
            provider(url).send(message())
        assert heard.result(5) == asked
    assert not refused.value.maybe_sent


@pytest.mark.parametrize("trouble", [Behaviour(status=422), Behaviour(reset="after"), Behaviour(status=500)])
def test_no_error_quotes_the_number_or_the_text(stub, trouble):
    stub.will(trouble)
    with pytest.raises((ProviderUnavailable, RecipientRejected)) as refused:
        provider(stub.sms_url).send(message())
    shown = "".join(traceback.format_exception(refused.value))
    for planted in (PHONE, PHONE[1:], "481516"):
        assert planted not in shown
