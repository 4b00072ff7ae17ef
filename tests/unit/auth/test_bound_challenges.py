"""A challenge belongs to the browser or client that began the login (CVE-2025-52553)."""

import json

import pytest

from services.auth import session_store
from tests.support import auth
from tests.support.auth import sign_in, timeline_of, types_of
from tests.support.sign_in import challenge, problem, sessions, verify

CALLS = [("GET", ""), ("POST", "/sms"), ("POST", "/verify")]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("binding", ["", "wrong"])
def test_in_other_hands_it_is_expired(deps, stranger, mia, otp, method, path, binding):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id)
    body = {"code": "424242"} if path == "/verify" else None
    answer = stranger.call(method, f"/v1/login/{challenge_id}{path}", body, headers={"X-Challenge-Binding": binding})
    assert problem(answer) == (410, "challenge_expired")
    assert sessions(deps, mia) == []
    assert otp.sent_to == []
    assert otp.codes, "otp was not asked"


def test_what_has_ended_and_what_is_anothers_get_the_same_answer_which_names_the_header(stranger, mia):
    challenge_id = challenge(stranger, mia)
    answers = [
        stranger.get(f"/v1/login/{one}", headers={"X-Challenge-Binding": "wrong"}) for one in (challenge_id, "chl_none")
    ]
    assert answers[0].json == answers[1].json
    assert "X-Challenge-Binding" in answers[0].json["detail"]


def test_another_browser_cannot_answer_it_and_its_own_can(app, mia, otp):
    mine, thiefs = app.test_client(), app.test_client()
    body = {"email": mia.email, "password": auth.PASSWORD}
    challenge_id = mine.post("/v1/login", json=body).json["challenge"]["id"]
    thiefs.post("/v1/login", json=body)  # a challenge, and so a cookie, of his own
    otp.expect(mia.id, "login", challenge_id)
    answer = {"code": "424242"}
    assert problem(thiefs.post(f"/v1/login/{challenge_id}/verify", json=answer)) == (410, "challenge_expired")
    assert thiefs.get(f"/v1/login/{challenge_id}").status_code == 410
    assert mine.post(f"/v1/login/{challenge_id}/verify", json=answer).status_code == 200


def test_the_form_without_scripts_is_bound_too(app, mia, otp):
    mine, thiefs = app.test_client(), app.test_client()
    headers = {"Origin": "http://portal.example:8080"}
    place = mine.post("/login", data={"email": mia.email, "password": auth.PASSWORD}, headers=headers).headers[
        "Location"
    ]
    otp.expect(mia.id, "login", place.removeprefix("/login/"))
    assert thiefs.get(place).status_code == 410
    assert thiefs.post(place, data={"code": "424242"}, headers=headers).status_code == 410
    assert mine.get(place).status_code == 200
    assert mine.post(place, data={"code": "424242"}, headers=headers).status_code == 303


def test_only_the_digest_of_the_binding_is_stored(deps, stranger, mia):
    challenge_id = challenge(stranger, mia)
    assert auth.BINDINGS[challenge_id] not in deps.redis.get(f"auth:challenge:{challenge_id}")


def test_a_challenge_of_an_earlier_release_belongs_to_no_client(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    key = f"auth:challenge:{challenge_id}"
    members = json.loads(deps.redis.get(key))
    del members["binding_digest"]
    deps.redis.set(key, json.dumps(members))
    assert problem(verify(stranger, challenge_id)) == (410, "challenge_expired")


@pytest.mark.parametrize("whose", ["the same account's", "another account's"])
def test_signing_in_over_a_session_cookie_ends_the_old_session(deps, app, tom, mia, whose):
    account = tom if whose == "the same account's" else mia
    old, token = sign_in(deps, account)
    browser = app.test_client()
    browser.set_cookie("latchkey_session", token)
    assert browser.post("/v1/login", json={"email": tom.email, "password": auth.PASSWORD}).status_code == 200
    assert session_store.find(deps.redis, token) is None
    row = next(row for row in timeline_of(deps, account) if row.type == "session.ended")
    assert row.details == {"session_id": old.id, "cause": "signed_in_again"}
    assert "session.started" in types_of(deps, tom)


def test_a_bearer_login_ends_no_cookie_session(deps, app, tom):
    _, token = sign_in(deps, tom)
    browser = app.test_client()
    browser.set_cookie("latchkey_session", token)
    browser.post("/v1/login", json={"email": tom.email, "password": auth.PASSWORD, "transport": "bearer"})
    assert session_store.find(deps.redis, token) is not None
