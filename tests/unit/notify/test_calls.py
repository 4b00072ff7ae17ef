"""A code that is said in a call."""

import json
from xml.etree.ElementTree import fromstring as read_xml

import pytest

from services.notify.delivery import deliver
from services.notify.domain import spoken
from services.notify.providers import CallMessage, ProviderUnavailable, twiml
from services.notify.providers.console import ConsoleSms
from services.notify.receipts import record_receipt
from shared import dev_inbox
from shared.channel import Channel
from shared.envelope import open_envelope
from shared.phone import PhoneNumber
from shared.sealing import unseal
from shared.texts.languages import LANGUAGES
from tests.unit.notify.courier import CODE, PHONE, Courier, FakeProvider
from tests.unit.notify.test_receipts import receipt

CALL = {"channel": Channel.CALL, "language": "de", "subject": "Example Portal", "body": CODE}
ONE_BY_ONE = ", ".join(CODE)
CALLBACK = "https://portal.example/v1/callbacks/twilio/call?message_id=sms_1&token=t"


@pytest.fixture
def caller():
    return FakeProvider("caller", makes_calls=True)


def test_a_call_goes_to_a_provider_that_calls(caller):
    texts_only = FakeProvider("texts")
    courier = Courier(texts_only, caller)
    courier.run(deliver, courier.code(**CALL))
    [message] = caller.sent
    assert isinstance(message, CallMessage)
    assert (message.to, message.script.language) == (PhoneNumber(PHONE), "de")
    assert ONE_BY_ONE in message.script.told[0]
    assert (texts_only.calls, courier.status()) == (0, ("sent", None))
    assert [CODE in text or ONE_BY_ONE in text for text in (repr(message), message.script.opening)] == [False, False]


def test_a_text_still_goes_to_the_first_provider(caller):
    texts_only = FakeProvider("texts")
    courier = Courier(texts_only, caller)
    courier.run(deliver, courier.code())
    assert (len(texts_only.sent), caller.sent) == (1, [])


def test_where_nobody_calls_the_code_has_failed_at_once(courier):
    courier.run(deliver, courier.code(**CALL))
    assert (courier.sms.calls, courier.status()) == (0, ("failed", "our_fault"))


def test_a_call_that_was_not_taken_is_tried_again(caller):
    caller.troubles = [ProviderUnavailable("twilio 20503 (HTTP 503)")]
    courier = Courier(FakeProvider("texts"), caller)
    courier.run(deliver, courier.code(**CALL))
    assert (caller.calls, courier.status()) == (2, ("sent", None))


@pytest.mark.parametrize("english", [{}, {"language": "en"}])
def test_a_text_or_an_english_mail_is_sealed_as_the_previous_release_reads_it(courier, english):
    sealed = courier.seal(**english)
    assert json.loads(unseal(courier.private_keys, sealed)).keys() == {
        "account_id", "recipient", "subject", "body", "expires_at"
    }  # fmt: skip
    envelope = open_envelope(courier.private_keys, sealed)
    assert (envelope.channel, envelope.language) == (Channel.SMS, None)


def test_calls_and_mails_tell_their_language(courier):
    assert open_envelope(courier.private_keys, courier.seal(language="ar")).language == "ar"
    called = open_envelope(courier.private_keys, courier.seal(**CALL))
    assert (called.channel, called.language, called.body) == (Channel.CALL, "de", CODE)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("spoken", ("delivered", None)),
        ("completed", ("undelivered", "no_keys")),
        ("no-answer", ("undelivered", "not_answered")),
        ("busy", ("undelivered", "not_answered")),
        ("failed", ("failed", "number_unreachable")),
        ("canceled", ("failed", "provider_down")),
        ("ringing", ("sent", None)),
        ("in-progress", ("sent", None)),
        ("nonsense", ("sent", None)),
    ],
)
def test_what_became_of_a_call(caller, word, told):
    courier = Courier(caller)
    courier.run(deliver, courier.code(**CALL))
    record_receipt(courier.deps, receipt(word, provider="twilio.call"))
    assert courier.status() == told


def test_the_end_of_a_call_does_not_take_back_that_the_code_was_said(caller):
    courier = Courier(caller)
    courier.run(deliver, courier.code(**CALL))
    for word in ("spoken", "completed"):
        record_receipt(courier.deps, receipt(word, provider="twilio.call"))
    assert courier.status() == ("delivered", None)


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("en", ("Polly.Joanna", "en-US")),
        ("de", ("Polly.Vicki", "de-DE")),
        ("es", ("Polly.Lucia", "es-ES")),
        ("fr", ("Polly.Celine", "fr-FR")),
        ("pt", ("Polly.Camila", "pt-BR")),
        ("nl", ("Polly.Lotte", "nl-NL")),
        ("pl", ("Polly.Ewa", "pl-PL")),
        ("ja", ("Polly.Mizuki", "ja-JP")),
        ("ar", ("Polly.Zeina", "arb")),
        ("xx", ("Polly.Joanna", "en-US")),
        (None, ("Polly.Joanna", "en-US")),
    ],
)
def test_a_call_is_spoken_by_a_voice_of_its_language(language, voice):
    script = spoken.write("Example & Sons", language, CODE, "47")
    for document in (twiml.opening(script, CALLBACK), twiml.told(script), twiml.refused(script)):
        says = read_xml(document).iter("Say")  # noqa: S314 - our own
        assert {(say.attrib["voice"], say.attrib["language"]) for say in says} == {voice}


def test_every_language_has_a_voice():
    assert twiml.VOICES.keys() == LANGUAGES.keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_call_says_is_in_the_catalogue(language):
    said = {part: spoken.TEXTS[f"call.{part}"][language] for part in ("opening", "then", "code", "again", "goodbye")}
    script = spoken.write("Example & Sons", language, CODE, "47")
    assert script.opening == said["opening"].format(sender="Example & Sons", keys=f"4, {said['then']} 7")
    assert script.told == (
        said["code"].format(digits=ONE_BY_ONE),
        said["again"].format(digits=ONE_BY_ONE),
        said["goodbye"].format(minutes=5),
    )
    assert script.refused == spoken.TEXTS["call.refused"][language]


@pytest.mark.parametrize("language", [*LANGUAGES, "xx", None])
def test_a_script_says_its_keys_first_and_the_digits_one_by_one_twice_after_them(language):
    script = spoken.write("Example & Sons", language, CODE, "47")
    assert "4" in script.opening
    assert "7" in script.opening
    assert [sentence.count(ONE_BY_ONE) for sentence in script.told] == [1, 1, 0]
    told, opening = twiml.told(script), twiml.opening(script, CALLBACK)
    assert not {CODE, ONE_BY_ONE} & {opening, twiml.refused(script)}
    for document in (opening, told, twiml.refused(script)):
        assert CODE not in document
        response = read_xml(document)  # noqa: S314 - our own
        assert response.tag == "Response"
        assert response[-1].tag == "Hangup"
    assert ONE_BY_ONE in told
    assert ONE_BY_ONE not in opening + twiml.refused(script)


def test_the_opening_asks_for_as_many_keys_as_it_names_and_takes_every_key():
    document = twiml.opening(spoken.write("Example & Sons", "en", CODE, "47"), CALLBACK)
    gathers = read_xml(document).findall("Gather")  # noqa: S314 - our own
    assert len(gathers) == 2
    for gather in gathers:
        assert gather.attrib["action"] == CALLBACK
        assert (gather.attrib["numDigits"], gather.attrib["finishOnKey"], gather.attrib["input"]) == ("2", "", "dtmf")


def test_the_keys_of_two_calls_are_not_the_same():
    keys = {spoken.new_keys() for _ in range(200)}
    assert len(keys) > 60
    assert all(len(one) == spoken.KEYS and one.isdigit() for one in keys)


def test_the_development_inbox_has_a_call_in_two_parts(courier):
    called = Courier(ConsoleSms(courier.redis, courier.clock), redis=courier.redis)
    called.run(deliver, called.code(**CALL))
    [message] = dev_inbox.messages(courier.redis)
    assert (message.channel, message.to) == ("call", PHONE)
    assert ONE_BY_ONE not in message.subject
    assert message.body.count(ONE_BY_ONE) == 2
