"""Codes by call: at a login, for a phone's proof, and for landlines, which take nothing else."""

from dataclasses import replace

import pytest

from shared.messages import SendSmsCode
from shared.phone import PhoneNumber
from shared.problems import Refusal
from tests.support.auth import OTHER_PHONE, PHONE, fresh, notices_in, timeline_of
from tests.support.portal import Browser
from tests.support.sign_in import challenge, problem, verify

LANDLINE = PhoneNumber("+4930123456")
NUMBER = {"country": "DE", "number": "030 123456"}
GERMAN = {"Accept-Language": "de-AT, en;q=0.5"}


@pytest.fixture
def with_landline(api, ann):
    """ann, whose proven phone is a landline."""
    caller = api(ann)
    caller.put("/v1/phone", NUMBER)
    assert caller.post("/v1/phone/verify", {"code": "424242"}).status_code == 200
    return caller


def test_a_login_may_be_answered_with_a_code_from_a_call(stranger, mia, otp, publisher):
    challenge_id = challenge(stranger, mia)
    answer = stranger.post(f"/v1/login/{challenge_id}/call", headers=GERMAN)
    assert (answer.status_code, answer.json["channel"], answer.json["channels"]) == (202, "call", ["call", "sms"])
    assert [type(message) for message in publisher.messages] == [SendSmsCode]
    assert (otp.sent_to, otp.called_in) == ([mia.phone.e164], ["de"])
    assert verify(stranger, challenge_id).json["factor"] == "sms"


def test_the_state_of_a_login_offers_both_and_says_how_the_last_code_went(stranger, mia, deps):
    challenge_id = challenge(stranger, mia)
    state = stranger.get(f"/v1/login/{challenge_id}").json
    hint = mia.phone.masked()
    assert (state["sms"], state["call"]) == ({"available": True, "phone_hint": hint},) * 2
    assert state["methods"][-1] == "call"


@pytest.mark.parametrize(
    ("headers", "language"),
    [
        ({}, "en"),
        (GERMAN, "de"),
        ({"Accept-Language": "C, fr"}, "fr"),
        ({"Accept-Language": "zh-Hant, sv"}, "en"),
        ({"Accept-Language": "sv, pt-BR;q=0.5, en;q=0.1"}, "pt"),
        ({"Accept-Language": "de;q=0, C"}, "en"),
        ({"Accept-Language": "en_GB.UTF-8"}, "en"),
        ({"Accept-Language": "<script>"}, "en"),
    ],
)
def test_the_language_of_a_call_is_the_readers(app, api, ann, otp, headers, language):
    caller = api(ann)
    caller.put("/v1/phone", NUMBER, headers=headers)
    assert otp.called_in == [language]


@pytest.mark.parametrize(("chosen", "language"), [("fr", "fr"), ("../../etc", "de")])
def test_the_language_that_was_chosen_on_a_page_goes_first(app, deps, ann, otp, chosen, language):
    browser = Browser(app.test_client()).signed_in(deps, ann)
    browser.client.set_cookie("latchkey_language", chosen)
    origin = {"Origin": "http://portal.example:8080"}
    assert browser.client.put("/v1/phone", json=NUMBER, headers={**GERMAN, **origin}).status_code == 202
    assert otp.called_in == [language]


def test_a_text_names_no_channel_to_otp(stranger, mia, otp):
    answer = stranger.post(f"/v1/login/{challenge(stranger, mia)}/sms")
    assert (answer.json["channel"], otp.called_in) == ("sms", [None])


def test_a_landline_is_called_and_saved_as_one_that_takes_calls_only(deps, with_landline, ann, otp):
    assert otp.called_in == ["en"]
    assert fresh(deps, ann).phone == LANDLINE
    (row,) = [one for one in with_landline.get("/v1/team").json["items"] if one["id"] == ann.id]
    assert row["phone"] == {"hint": LANDLINE.masked(), "verified": True, "calls_only": True}


def test_no_text_ever_goes_to_a_landline(deps, with_landline, ann, otp):
    assert {notice.recipient for notice in notices_in(deps)} == {PHONE.e164, ann.email}  # the phone before it
    otp.enabled.add(ann.id)
    assert with_landline.get("/v1/two-factor").json["sms"]["available"] is False
    assert with_landline.get("/v1/two-factor").json["call"]["available"] is True


def test_a_login_with_a_landline_offers_calls_only(deps, make_account, stranger, otp, password_hash):
    owner = make_account("home@example.com", password_hash=password_hash, phone=LANDLINE)
    otp.enabled.add(owner.id)
    challenge_id = challenge(stranger, owner)
    state = stranger.get(f"/v1/login/{challenge_id}").json
    assert (state["sms"]["available"], state["call"]["available"]) == (False, True)
    assert [method for method in state["methods"] if method in {"sms", "call"}] == ["call"]
    assert problem(stranger.post(f"/v1/login/{challenge_id}/sms")) == (409, "sms_unavailable")
    assert stranger.post(f"/v1/login/{challenge_id}/call").status_code == 202


def test_a_number_that_waits_to_be_verified_can_be_called_instead(api, ann, otp):
    caller = api(ann)
    caller.put("/v1/phone", {"country": "DE", "number": "01512 3456780"})
    answer = caller.post("/v1/phone/call")
    assert (answer.status_code, answer.json["channel"]) == (202, "call")
    assert (otp.sent_to, otp.called_in) == ([OTHER_PHONE.e164] * 2, [None, "en"])
    assert caller.post("/v1/phone/verify", {"code": "424242"}).status_code == 200


def test_the_same_landline_again_is_the_same_request(api, ann, otp):
    caller = api(ann)
    first = caller.put("/v1/phone", NUMBER)
    again = caller.put("/v1/phone", NUMBER)
    assert (again.status_code, again.json) == (202, first.json)
    assert again.json["channel"] == "call"
    assert otp.sent_to == [LANDLINE.e164]


def test_where_nobody_is_called_a_landline_is_refused_and_a_call_too(deps, app, api, stranger, ann, mia, otp):
    app.extensions["latchkey"] = replace(deps, settings=replace(deps.settings, call_countries=frozenset()))
    assert problem(api(ann).put("/v1/phone", NUMBER)) == (422, "invalid_phone")
    challenge_id = challenge(stranger, mia)
    assert stranger.get(f"/v1/login/{challenge_id}").json["call"]["available"] is False
    assert problem(stranger.post(f"/v1/login/{challenge_id}/call")) == (409, "call_unavailable")
    assert otp.sent_to == []


@pytest.mark.parametrize("cause", ["destination", "today"])
def test_what_otp_refuses_is_told_as_a_call(deps, stranger, mia, otp, cause):
    challenge_id = challenge(stranger, mia)
    otp.refusal = Refusal("sms_unavailable", extra={"cause": cause}, retry_after_seconds=90)
    answer = stranger.post(f"/v1/login/{challenge_id}/call")
    assert problem(answer) == (409, "call_unavailable")
    assert (answer.json["cause"], answer.json["retry_after"]) == (cause, 90)
    told = timeline_of(deps, mia)[-1]
    assert (told.type, told.details["channel"], told.details["cause"]) == ("sms.refused", "call", cause)


def test_the_timeline_tells_a_call(deps, stranger, mia):
    stranger.post(f"/v1/login/{challenge(stranger, mia)}/call")
    asked = [row for row in timeline_of(deps, mia) if row.type == "sms.requested"]
    assert [row.details["channel"] for row in asked] == ["call"]


def test_a_call_works_without_scripts(app, mia, otp):
    browser = Browser(app.test_client())
    step = browser.log_in(mia.email).headers["Location"]
    assert 'id="call-form"' in browser.get(f"{step}?lang=de").get_data(as_text=True)
    assert browser.post(f"{step}/call").status_code == 303
    assert otp.called_in == ["de"]
    assert "Wir rufen" in browser.get(step).get_data(as_text=True)
