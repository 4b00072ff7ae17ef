"""Our SMTP provider over a real socket."""

import base64
import traceback
from email import message_from_bytes
from email.policy import SMTP
from email.utils import format_datetime

import pytest

from services.notify.providers import EmailMessage, ProviderMisconfigured, ProviderUnavailable, RecipientRejected
from services.notify.providers import smtp as smtp_provider
from services.notify.providers.smtp import SmtpEmail
from services.notify.settings import SmtpSecurity, SmtpSettings
from shared.delivery_reasons import DeliveryReason
from shared.secret import Secret
from tests.support.free_port import free_port
from tests.support.smtp_stub import SmtpStub
from tests.unit.notify.courier import ADDRESS, START
from tests.unit.notify.test_mail_html import Read


@pytest.fixture
def stub():
    with SmtpStub() as server:
        yield server


def provider(port, **change) -> SmtpEmail:
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "username": None,
        "password": None,
        "sender": "Customer Portal <no-reply@portal.example>",
        "security": SmtpSecurity.NONE,
    }
    return SmtpEmail(SmtpSettings(**(settings | change)))


def message(
    to=ADDRESS, subject="Two-factor is on — ✓", body="Grüezi\n\n.A line that begins with a dot\n", language=None
):
    return EmailMessage("ntc_1", to, subject, body, START, language)


def test_a_letter_arrives_whole(stub):
    message_id = provider(stub.port).send(message())
    [letter] = stub.letters
    assert letter.recipients == [ADDRESS]
    assert letter.sender == "no-reply@portal.example"
    headers = letter.content.split("\r\n\r\n")[0]
    assert "From: Customer Portal <no-reply@portal.example>" in headers
    assert f"To: {ADDRESS}" in headers
    assert "Auto-Submitted: auto-generated" in headers
    assert f"Date: {format_datetime(START)}" in headers
    assert message_id == "<ntc_1@portal.example>"
    assert f"Message-ID: {message_id}" in headers


def test_a_letter_has_the_same_words_as_plain_text_and_as_html(stub):
    body = "Grüezi <b>\n\n  Browser: Firefox\n\nCancel it: https://portal.example/c#tok.en\n\n-- \nAcme\nhttps://portal.example\n"
    provider(stub.port).send(message(body=body, language="ar"))
    letter = message_from_bytes(stub.letters[0].content.encode(), policy=SMTP)
    assert letter.get_content_type() == "multipart/alternative"
    plain, html = letter.iter_parts()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert plain.get_content().replace("\r\n", "\n") == body
    assert Read(html.get_content()).words == body.split()
    assert Read(html.get_content()).spoken["html"] == ("ar", "rtl")
    assert Read(html.get_content()).links == ["https://portal.example/c#tok.en", "https://portal.example"]


def test_the_same_notice_twice_has_one_message_id(stub):
    ids = {provider(stub.port).send(message()) for _ in range(2)}
    assert len(ids) == 1


def test_credentials_are_used(stub):
    provider(stub.port, username="portal", password=Secret("hush")).send(message())
    assert base64.b64decode(stub.credentials[0]) == b"\0portal\0hush"


@pytest.mark.parametrize(
    ("word", "answer", "kind", "maybe"),
    [
        ("RCPT", "550 no such mailbox", RecipientRejected, None),
        ("RCPT", "450 mailbox busy", ProviderUnavailable, False),
        ("MAIL", "550 not you", ProviderMisconfigured, False),
        ("MAIL", "451 later", ProviderUnavailable, False),
        ("DATA", "554 spam", RecipientRejected, None),
        (".", "554 spam", RecipientRejected, None),
        (".", "452 disk full", ProviderUnavailable, False),
        (".", None, ProviderUnavailable, True),
        ("EHLO", None, ProviderUnavailable, False),
        ("CONNECT", "421 too busy", ProviderUnavailable, False),
        ("CONNECT", None, ProviderUnavailable, False),
    ],
)
def test_what_the_server_says_no_to(stub, word, answer, kind, maybe):
    stub.answers[word] = answer
    with pytest.raises((ProviderUnavailable, RecipientRejected)) as refused:
        provider(stub.port).send(message())
    assert type(refused.value) is kind
    if maybe is not None:
        assert refused.value.maybe_sent is maybe


@pytest.mark.parametrize(("answer", "kind"), [("535 bad", ProviderMisconfigured), ("454 later", ProviderUnavailable)])
def test_refused_credentials(stub, answer, kind):
    stub.answers["AUTH"] = answer
    with pytest.raises(ProviderUnavailable) as refused:
        provider(stub.port, username="portal", password=Secret("hush")).send(message())
    assert type(refused.value) is kind


def test_a_server_without_starttls_is_not_talked_to_in_the_clear(stub):
    with pytest.raises(ProviderMisconfigured):
        provider(stub.port, security=SmtpSecurity.STARTTLS).send(message())
    assert stub.letters == []


def test_a_server_that_speaks_no_tls_is_an_outage(stub):
    with pytest.raises(ProviderUnavailable) as broken:
        provider(stub.port, security=SmtpSecurity.TLS).send(message())
    assert not broken.value.maybe_sent


def test_a_closed_port_is_an_outage():
    with pytest.raises(ProviderUnavailable) as down:
        provider(free_port()).send(message())
    assert not down.value.maybe_sent


def test_a_silent_server_is_an_outage(stub, monkeypatch):
    monkeypatch.setattr(smtp_provider, "TIMEOUT_SECONDS", 0.2)
    stub.answers["EHLO"] = "250-unfinished"
    with pytest.raises(ProviderUnavailable) as slow:
        provider(stub.port).send(message())
    assert not slow.value.maybe_sent


@pytest.mark.parametrize("answer", ["500 what?", None])
def test_a_letter_that_was_taken_is_sent_whatever_the_goodbye(stub, answer):
    stub.answers["QUIT"] = answer
    provider(stub.port).send(message())
    assert len(stub.letters) == 1


def test_a_domain_travels_in_a_labels(stub):
    provider(stub.port, sender="Portal <no-reply@büro.example>").send(message(to="Ann@Bücher.example"))
    [letter] = stub.letters
    assert letter.recipients == ["Ann@xn--bcher-kva.example"]
    assert letter.sender == "no-reply@xn--bro-hoa.example"
    headers = letter.content.split("\r\n\r\n")[0]
    assert "To: Ann@xn--bcher-kva.example" in headers
    assert "From: Portal <no-reply@xn--bro-hoa.example>" in headers
    assert "Message-ID: <ntc_1@xn--bro-hoa.example>" in headers


@pytest.mark.parametrize("to", ["jörg@example.com", "ann@☃.example"])
def test_an_address_that_takes_smtputf8_is_the_recipients_fault_and_not_ours(stub, to):
    with pytest.raises(RecipientRejected):
        provider(stub.port).send(message(to=to))
    assert stub.letters == []


@pytest.mark.parametrize("to", ["", "nobody", "a@b@c", "a b@c.example", "a@b.example\r\nBcc: c@d.example", "@"])
def test_what_is_no_address_is_refused_before_a_server_sees_it(stub, to):
    with pytest.raises(RecipientRejected) as refused:
        provider(stub.port).send(message(to=to))
    assert refused.value.reason is DeliveryReason.ADDRESS_REFUSED
    assert stub.letters == []


def test_a_subject_cannot_add_a_header(stub):
    with pytest.raises(RecipientRejected):
        provider(stub.port).send(message(subject="Hello\r\nBcc: c@d.example"))
    assert stub.letters == []


@pytest.mark.parametrize("word", ["RCPT", ".", "MAIL"])
def test_no_error_quotes_the_address(stub, word):
    stub.answers[word] = f"550 <{ADDRESS}> is not welcome"
    with pytest.raises((ProviderUnavailable, RecipientRejected)) as refused:
        provider(stub.port).send(message())
    assert ADDRESS not in "".join(traceback.format_exception(refused.value))
