"""A code by call: the same code and budgets as by SMS, and rows of its own besides."""

import pytest

from services.otp.domain.passcode import Passcode
from services.otp.domain.sms_text import render
from shared.channel import Channel
from shared.envelope import open_envelope
from shared.sending_budgets import CALLS_OF_PHONE, SMS_DAILY_CAP, Kind
from shared.texts.languages import LANGUAGES
from tests.support.otp import PHONE, World

CALL = {"channel": "call", "language": "de"}
DAY = "budget:otp.call.day:86400:all"


def envelope_of(world, notify_keys, answer):
    return open_envelope(notify_keys, world.redis.get(f"notify:sealed:{answer.json['message_id']}"))


def test_a_call_has_the_digits_alone_and_opens_what_a_text_opens(world: World, notify_keys):
    world.enrol()
    answer = world.send_sms(**CALL)
    assert answer.status_code == 202
    envelope = envelope_of(world, notify_keys, answer)
    assert (envelope.channel, envelope.language, envelope.recipient) == (Channel.CALL, "de", PHONE)
    assert envelope.subject
    assert len(envelope.body) == 6
    assert envelope.body not in answer.text
    assert world.verify(envelope.body).json == {"factor": "sms"}


def test_a_text_says_nothing_of_channels(world: World, notify_keys):
    world.enrol()
    envelope = envelope_of(world, notify_keys, world.send_sms())
    assert (envelope.channel, envelope.language, envelope.subject) == (Channel.SMS, None, None)


@pytest.mark.parametrize(("asked", "written"), [(language, language) for language in LANGUAGES] + [("xx", "en")])
def test_a_text_is_written_in_the_language_that_auth_asks_for(world: World, notify_keys, asked, written):
    world.enrol()
    answer = world.send_sms(language=asked)
    envelope = envelope_of(world, notify_keys, answer)
    code = Passcode(envelope.body[-6:])
    said = world.deps.issuer, world.deps.sms_host, code, answer.json["reference"]
    assert envelope.body == render(*said, written)
    assert envelope.language is None
    assert world.verify(code.digits).json == {"factor": "sms"}


def test_text_and_call_share_their_budgets(world: World):
    world.enrol()
    for call in ({}, CALL, {}, CALL, {}):
        assert world.send_sms(**call).status_code == 202
        world.let_resend()
    for call in ({}, CALL):
        answer = world.send_sms(**call)
        assert (answer.status_code, answer.json["code"]) == (429, "too_many_requests")


def test_a_call_waits_half_a_minute_after_a_text(world: World):
    world.enrol()
    world.send_sms()
    assert world.send_sms(**CALL).status_code == 429


@pytest.mark.parametrize("spent_by", [{"purpose": "phone_verification"}, {}])
def test_strangers_do_not_spend_the_calls_of_a_known_device(world: World, spent_by):
    """One proves the phone as their own, the other has the password alone."""
    world.enrol()
    for number in range(5):
        world.enrol(f"acc_{number}")
        answer = world.send_sms(account=f"acc_{number}", binding=f"b_{number}", **spent_by, **CALL)
    assert answer.status_code == 409
    assert world.send_sms(device_id="dev_1", **CALL).status_code == 202


def test_proofs_leave_a_part_of_the_days_calls_to_logins(world: World):
    world.enrol()
    world.redis.set(DAY, SMS_DAILY_CAP // 5 * 80 // 100, ex=1000)
    assert world.send_sms(purpose="phone_verification", **CALL).status_code == 409
    assert world.send_sms(**CALL).status_code == 202


def test_a_phone_is_called_only_so_often_whoever_asks(world: World):
    most = CALLS_OF_PHONE[Kind.LOGIN].windows[0].max
    answers = []
    for number in range(most + 1):
        account = f"acc_{number}"
        world.enrol(account)
        answers.append(world.send_sms(account=account, binding=f"chl_{number}", **CALL))
    assert [answer.status_code for answer in answers] == [202] * most + [409]
    assert answers[-1].json["cause"] == "today"
    world.let_resend(account=account, binding=f"chl_{number}")
    assert world.send_sms(account=account, binding=f"chl_{number}").status_code == 202  # a text


def test_the_day_has_fewer_calls_than_texts(world: World):
    world.enrol()
    most = SMS_DAILY_CAP // 5 * 90 // 100  # the rest of the calls' fifth is left out, as of the texts
    world.redis.set(DAY, most - 1, ex=1000)
    assert world.send_sms(**CALL).status_code == 202
    world.let_resend()
    answer = world.send_sms(**CALL)
    assert (answer.status_code, answer.json["code"], answer.json["cause"]) == (409, "sms_unavailable", "today")
    assert world.send_sms().status_code == 202
    assert int(world.redis.get("budget:otp.sms.day:86400:all")) == 2  # the calls' day counts as texts, too


def test_what_was_not_called_is_given_back(world: World):
    world.enrol()
    message_id = world.send_sms(**CALL).json["message_id"]
    body = {"purpose": "login", "binding": "chl_1"}
    assert world.account("DELETE", f"sms-challenges/{message_id}", body).status_code == 204
    assert int(world.redis.get(DAY) or 0) == 0
    assert [int(world.redis.get(key)) for key in world.redis.keys("budget:otp.call.phone:*")] == [0, 0]


@pytest.mark.parametrize("call", [{"channel": "fax"}, {"channel": "call", "language": "de-DE"}, {"language": "<x>"}])
def test_a_channel_or_language_that_does_not_exist_is_refused(world: World, call):
    world.enrol()
    assert world.send_sms(**call).status_code == 422
