from datetime import timedelta

from services.auth import phone
from services.auth.consequences import Acting
from services.auth.domain.session import Factor
from shared import delivery
from shared.delivery import DeliveryStatus
from shared.messages import SendSmsCode
from shared.problems import Unavailable
from tests.support.auth import CLIENT, NOW, OTHER_PHONE, PHONE, fresh, sign_in
from tests.support.sign_in import challenge, down, problem, sessions, trusted_devices, verify
from tests.support.signing import unsigned_text


def test_an_sms_is_asked_for_on_the_queue_by_id_only(stranger, mia, otp, publisher):
    challenge_id = challenge(stranger, mia)
    answer = stranger.post(f"/v1/login/{challenge_id}/sms")
    assert answer.status_code == 202
    (message,) = publisher.messages
    assert isinstance(message, SendSmsCode)
    assert message.deadline == NOW + timedelta(minutes=4, seconds=30)
    assert otp.live_sms[message.message_id] == (mia.id, "login", challenge_id)
    assert "424242" not in answer.text + repr(message)
    assert verify(stranger, challenge_id).json["factor"] == Factor.SMS


def test_a_request_that_the_queue_does_not_take_costs_the_challenge(deps, stranger, mia, otp, publisher):
    challenge_id = challenge(stranger, mia)
    stranger.post(f"/v1/login/{challenge_id}/sms")
    publisher.down = True
    down(stranger.post(f"/v1/login/{challenge_id}/sms"), "broker")
    assert not deps.redis.keys("auth:challenge*")
    assert problem(stranger.get(f"/v1/login/{challenge_id}")) == (410, "challenge_expired")
    otp.expect(mia.id, "login", challenge_id)
    assert problem(verify(stranger, challenge_id)) == (410, "challenge_expired")
    assert sessions(deps, mia) == []


def test_with_otp_gone_too_the_code_that_nobody_gets_dies_with_the_challenge(deps, stranger, mia, otp, publisher):
    def lose_otp_too(_message):
        otp.go_down()
        raise Unavailable("broker")

    challenge_id = challenge(stranger, mia)
    publisher.publish = lose_otp_too
    down(stranger.post(f"/v1/login/{challenge_id}/sms"), "broker")
    assert problem(stranger.get(f"/v1/login/{challenge_id}")) == (410, "challenge_expired")
    otp.refusal = None
    assert otp.live_sms  # it could not be withdrawn
    assert problem(verify(stranger, challenge_id)) == (410, "challenge_expired")
    assert sessions(deps, mia) == []


def test_an_sms_that_otp_could_not_mint_leaves_the_challenge_for_the_app(stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    otp.go_down()
    down(stranger.post(f"/v1/login/{challenge_id}/sms"), "otp")
    otp.refusal = None
    otp.expect(mia.id, "login", challenge_id)
    assert verify(stranger, challenge_id).status_code == 200


def test_no_proven_phone_no_sms(stranger, make_account, otp, password_hash, publisher):
    bare = make_account("bare@example.com", password_hash=password_hash)
    otp.enabled.add(bare.id)
    assert problem(stranger.post(f"/v1/login/{challenge(stranger, bare)}/sms")) == (409, "sms_unavailable")
    assert (otp.sent_to, publisher.messages) == ([], [])


def test_the_waiting_page_sees_what_became_of_the_last_sms(deps, stranger, mia, clock):
    challenge_id = challenge(stranger, mia)
    assert stranger.get(f"/v1/login/{challenge_id}").json["delivery"] is None
    sent = stranger.post(f"/v1/login/{challenge_id}/sms").json
    pipeline = deps.redis.pipeline()
    delivery.queue_put(pipeline, sent["message_id"], unsigned_text(clock()), now=clock(), ttl=timedelta(minutes=5))
    pipeline.execute()
    clock.turn(seconds=2)
    delivery.advance(deps.redis, sent["message_id"], DeliveryStatus.FAILED, clock(), reason="too_late")
    waiting = stranger.get(f"/v1/login/{challenge_id}")
    assert waiting.json["status"] == "second_factor_required"
    assert waiting.json["delivery"] == {
        "status": "failed",
        "updated_at": "2026-11-24T05:00:02.000000Z",
        "message_id": sent["message_id"],
        "channel": "sms",
        "reference": "BCDF",
        "reason": "too_late",
        "message": "The code expired before it could be sent. Request a new one.",
    }
    assert "424242" not in waiting.text
    assert PHONE.e164 not in waiting.text


# --- a phone that goes ------------------------------------------------------------------------------------------------


def remove_phone(deps, account):
    phone.remove(deps, CLIENT, account, Acting(*sign_in(deps, account)))


def test_a_code_that_was_texted_to_a_phone_signs_nobody_in_once_the_phone_is_removed(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    assert stranger.post(f"/v1/login/{challenge_id}/sms").status_code == 202
    remove_phone(deps, mia)
    assert problem(verify(stranger, challenge_id)) == (401, "invalid_passcode")
    otp.expect(mia.id, "login", challenge_id, factor="totp")
    assert verify(stranger, challenge_id).status_code == 200  # the app still answers it


def test_a_phone_that_is_removed_while_otp_answers_opens_no_session(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    stranger.post(f"/v1/login/{challenge_id}/sms")
    otp.after_verify = lambda: remove_phone(deps, mia)
    assert problem(verify(stranger, challenge_id, remember_device=True)) == (410, "challenge_expired")
    assert [session for session in sessions(deps, mia) if Factor.SMS in session.factors] == []
    assert trusted_devices(deps, mia) == []


def test_a_challenge_from_before_texts_nobody_after_the_phone_was_replaced(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    acting = Acting(*sign_in(deps, mia))
    phone.set_phone(deps, CLIENT, mia, acting, "DE", OTHER_PHONE.e164)
    phone.verify(deps, CLIENT, fresh(deps, mia), acting, "424242")
    assert problem(stranger.post(f"/v1/login/{challenge_id}/sms")) == (409, "sms_unavailable")
    assert stranger.get(f"/v1/login/{challenge_id}").json["sms"]["available"] is False
