"""A call from the courier to its last word, over Twilio's API and our callback, with one Redis for both."""

from urllib.parse import urlsplit
from xml.etree.ElementTree import fromstring as read_xml

import fakeredis
import pytest
from twilio.request_validator import RequestValidator

from services.auth.app import create_app
from services.auth.deps import Deps
from services.notify.domain import spoken
from services.notify.providers import CallMessage, RecipientRejected
from services.notify.providers.twilio import TwilioSms
from services.notify.settings import TwilioSettings
from shared.delivery_reasons import DeliveryReason
from shared.messages import RecordReceipt
from shared.phone import PhoneNumber
from shared.secret import Secret
from tests.support import auth
from tests.support.auth import FakeOtp, ListPublisher, TurnedClock
from tests.support.migrated import copied, migrated
from tests.support.signing import SIGNERS
from tests.support.twilio_stub import ACCOUNT_SID, AUTH_TOKEN, Behaviour, TwilioStub

PHONE, CODE, KEYS = "+4930123456", "481516", "47"
ORIGIN, TOKEN = auth.ENVIRONMENT["PUBLIC_ORIGIN"], auth.ENVIRONMENT["TWILIO_AUTH_TOKEN"]
CALL_URL, STATUS_URL = f"{ORIGIN}/v1/callbacks/twilio/call", f"{ORIGIN}/v1/callbacks/twilio/status"
OVER = "<Response><Hangup /></Response>"


@pytest.fixture
def redis():
    return fakeredis.FakeStrictRedis(decode_responses=True)


@pytest.fixture
def publisher():
    return ListPublisher()


@pytest.fixture
def gateway(tmp_path, redis, publisher):
    clock = TurnedClock()
    with copied(migrated("auth", tmp_path), tmp_path) as database:
        deps = Deps(
            settings=auth.settings(),
            database=database,
            redis=redis,
            otp=FakeOtp(clock),
            publisher=publisher,
            hashing=None,
            clock=clock,
            signer=SIGNERS["auth"],
        )
        yield create_app(deps).test_client()


@pytest.fixture
def stub():
    with TwilioStub() as server:
        yield server
        assert server.faults == []


@pytest.fixture
def twilio(stub, redis):
    sender = ("MG" + "1" * 32, None, stub.url, STATUS_URL, "+15550001111", CALL_URL)
    return TwilioSms(TwilioSettings(ACCOUNT_SID, Secret(AUTH_TOKEN), *sender), redis)


@pytest.fixture
def message():
    return CallMessage("sms_1", PhoneNumber(PHONE), spoken.write("Example Portal", "de", CODE, KEYS))


class Line:
    """Twilio's side of a call: it executes what it is given, and signs what it asks."""

    def __init__(self, gateway, call):
        self._gateway, self.call = gateway, call
        self.action = read_xml(call["Twiml"]).find("Gather").attrib["action"]  # noqa: S314 - our own

    def press(self, keys=KEYS, *, to=None, url=None, token=TOKEN, **kwargs):
        form = {"CallSid": self.call["sid"], "To": to or self.call["To"], "Digits": keys, "CallStatus": "in-progress"}
        url = url or self.action
        signature = RequestValidator(token).compute_signature(url, form)
        parts = urlsplit(url)
        return self._gateway.post(
            f"{parts.path}?{parts.query}", data=form, headers={"X-Twilio-Signature": signature}, **kwargs
        )

    def hang_up(self, status):
        form = {"CallSid": self.call["sid"], "CallStatus": status}
        url = self.call["StatusCallback"]
        parts = urlsplit(url)
        signature = RequestValidator(TOKEN).compute_signature(url, form)
        return self._gateway.post(f"{parts.path}?{parts.query}", data=form, headers={"X-Twilio-Signature": signature})


@pytest.fixture
def line(gateway, twilio, stub, message):
    sid = twilio.call(message)
    [call] = stub.calls
    assert call["sid"] == sid
    return Line(gateway, call)


def said(answer):
    assert (answer.status_code, answer.mimetype) == (200, "text/xml")
    return " ".join(say.text for say in read_xml(answer.text).iter("Say"))  # noqa: S314 - our own


def words(publisher):
    assert all(type(one) is RecordReceipt for one in publisher.messages)
    return [(one.message_id, one.provider, one.provider_status) for one in publisher.messages]


def test_the_code_is_said_after_the_keys_twice_and_once_only(line, publisher):
    assert said(line.press()).count("4, 8, 1, 5, 1, 6") == 2
    assert words(publisher) == [("sms_1", "twilio.call", "spoken")]
    assert line.press().text == OVER  # a replay of the very same request
    assert len(publisher.messages) == 1


def test_the_code_is_said_while_the_broker_is_down(line, publisher):
    publisher.down = True
    assert said(line.press()).count("4, 8, 1, 5, 1, 6") == 2
    assert publisher.messages == []


def test_before_the_keys_nothing_of_the_code_is_at_twilio_in_a_url_or_in_redis(line, redis, message):
    held = repr(line.call) + "".join(key + str(redis.get(key)) for key in redis.scan_iter())
    assert not [trace for trace in (CODE, ", ".join(CODE), message.script.told[0]) if trace in held]


def test_a_call_is_short_and_names_who_is_called(line):
    assert {name: line.call[name] for name in ("To", "From", "TimeLimit", "Timeout", "StatusCallback")} == {
        "To": PHONE,
        "From": "+15550001111",
        "TimeLimit": "60",
        "Timeout": "30",
        "StatusCallback": f"{STATUS_URL}?message_id=sms_1",
    }
    assert line.action.startswith(f"{CALL_URL}?message_id=sms_1&token=")


@pytest.mark.parametrize("keys", ["", "4", "74", "48", "470", "４７", "##"])
def test_other_keys_end_the_call_without_the_code(line, publisher, keys):
    assert "nicht die richtigen Tasten" in said(line.press(keys))
    assert line.press().text == OVER
    assert publisher.messages == []


def test_a_callback_that_twilio_did_not_sign_is_refused_and_spends_nothing(line, publisher):
    for forged in ({"token": "another"}, {"token": ""}):
        answer = line.press(**forged)
        assert (answer.status_code, answer.json["code"]) == (403, "invalid_signature")
    assert said(line.press())


@pytest.mark.parametrize(
    "change",
    [
        {"to": "+4930999999"},
        {"url": f"{CALL_URL}?message_id=sms_2&token=REST"},
        {"url": f"{CALL_URL}?message_id=sms_1&token={'A' * 43}"},
    ],
    ids=["another number", "another message", "another token"],
)
def test_what_is_signed_for_another_call_hears_nothing(line, publisher, change):
    if "url" in change:
        change = {"url": change["url"].replace("REST", line.action.rpartition("=")[2])}
    assert line.press(**change).text == OVER
    assert publisher.messages == []


def test_another_host_is_refused(line, publisher):
    answer = line.press(base_url="http://evil.example")
    assert (answer.status_code, answer.json["code"]) == (421, "misdirected_request")
    assert said(line.press())


def test_a_callback_after_its_time_hears_nothing(line, redis):
    for key in redis.keys("notify:spoken:*"):
        assert 0 < redis.ttl(key) <= 180
        redis.delete(key)
    assert line.press().text == OVER


@pytest.mark.parametrize("status", ["completed", "no-answer", "busy", "failed"])
def test_the_end_of_the_call_goes_to_notify(line, publisher, status):
    assert line.hang_up(status).status_code == 204
    assert words(publisher) == [("sms_1", "twilio.call", status)]


def test_a_number_that_must_not_be_called_is_refused_for_good(twilio, stub, message):
    stub.will(Behaviour(status=400, code=21215))
    with pytest.raises(RecipientRejected) as refused:
        twilio.call(message)
    assert refused.value.reason is DeliveryReason.REGION_BLOCKED
    assert PHONE not in repr(refused.value)


def test_without_the_address_of_our_callback_twilio_makes_no_calls(twilio, stub, redis):
    settings = TwilioSettings(ACCOUNT_SID, Secret(AUTH_TOKEN), "MG" + "1" * 32, None, stub.url, None)
    assert (twilio.makes_calls, TwilioSms(settings, redis).makes_calls) == (True, False)
