"""The help page's story, as `make demo` plays it, and what lies beside its path."""

import time

import jwt
import pytest
from redis import Redis

from deploy import ceremony
from deploy.demo.story import Story
from deploy.portal import Portal, wait_for

pytestmark = pytest.mark.e2e


def test_the_whole_story_of_the_help_page(console_stack):
    Story.on(console_stack.demo).play()


def test_a_session_ends_when_its_owner_ends_it_from_another_one(make_person):
    person = make_person()
    one, other = person.signed_in(), person.signed_in()
    listed = one.get("/v1/sessions").body["items"]
    foreign = next(session["id"] for session in listed if not session["current"])
    assert one.call("DELETE", f"/v1/sessions/{foreign}").status == 204
    assert other.get("/v1/session").code == "not_authenticated"
    assert one.get("/v1/session").status == 200


def test_turning_2fa_on_ends_the_other_sessions(make_person):
    person = make_person()
    other = person.signed_in()
    portal = person.enrolled()
    assert other.get("/v1/session").code == "not_authenticated"
    assert portal.get("/v1/session").body["assurance"] == "aal2"


def test_turning_2fa_off_needs_step_up_and_ends_trust(make_person):
    person = make_person()
    person.enrolled()
    remembered = person.portal()
    remembered.verify(person.challenge(remembered), person.app.fresh(), remember=True)
    shortened = person.portal()
    shortened.device_token = remembered.device_token
    assert shortened.log_in(person.email, person.password).body["status"] == "authenticated"
    assert shortened.call("DELETE", "/v1/two-factor").code == "step_up_required"
    renewed = shortened.post("/v1/reauthenticate", {"password": person.password, "code": person.codes[0]})
    assert renewed.status == 200, renewed.body
    assert shortened.call("DELETE", "/v1/two-factor").status == 204
    assert shortened.get("/v1/trusted-devices").body["items"] == []


def test_a_weak_reset_cools_off_and_is_then_applied(make_person, operator, second_operator, messages):
    person = make_person()
    session = person.enrolled()
    reset = ceremony.request(operator, person.id, ("email_code", "billing_details"), messages)
    assert reset["status"] == "awaiting_approval"
    path = f"/v1/support/accounts/{person.id}/two-factor-resets/{reset['id']}/approve"
    assert operator.post(path).code == "same_operator"
    approved = second_operator.post(path)
    assert (approved.status, approved.body["status"]) == (202, "cooling_off"), approved.body
    assert session.get("/v1/two-factor").body["pending_reset"]["id"] == reset["id"]
    path = f"/v1/support/two-factor-resets/{reset['id']}"
    wait_for(lambda: operator.get(path).body["status"] == "applied", seconds=20)
    assert session.get("/v1/session").code == "not_authenticated"
    again = person.portal()
    assert again.log_in(person.email, person.password).body["session"]["prompts"] == ["enroll_two_factor"]


def test_the_owner_cancels_a_reset_from_a_session(make_person, operator, second_operator, messages):
    person = make_person()
    session = person.enrolled()
    reset = ceremony.request(operator, person.id, ("email_code", "billing_details"), messages)
    path = f"/v1/support/accounts/{person.id}/two-factor-resets/{reset['id']}/approve"
    assert second_operator.post(path).status == 202
    assert session.call("DELETE", f"/v1/two-factor/resets/{reset['id']}").status == 204
    time.sleep(5)  # past the cool-off: its event comes and must find the reset cancelled
    assert operator.get(f"/v1/support/two-factor-resets/{reset['id']}").body["status"] == "cancelled"
    assert session.get("/v1/two-factor").body["enabled"] is True


def test_resend_leaves_both_codes_live_and_either_works_once(make_person, inbox):
    person = make_person()
    portal = person.enrolled()
    person.proven_phone(portal, inbox)
    other = person.portal()
    challenge = person.challenge(other)
    first = other.post(f"/v1/login/{challenge}/sms").body
    first_code = inbox.code(first["reference"])
    early = other.post(f"/v1/login/{challenge}/sms")
    assert early.code == "too_many_requests"
    time.sleep(int(early.headers["Retry-After"]) + 0.5)
    second = other.post(f"/v1/login/{challenge}/sms").body
    assert inbox.code(second["reference"]) != first_code
    assert other.verify(challenge, first_code).status == 200
    assert other.verify(challenge, first_code).code == "challenge_expired"


def test_the_gateway_serves_its_own_contract(stack):
    portal = Portal(stack.base_url)
    document = portal.get("/openapi.json").body
    assert document["openapi"].startswith("3.1")
    promised = {
        ("post", "/v1/login"),
        ("post", "/v1/login/{challenge_id}/sms"),
        ("get", "/v1/login/{challenge_id}"),
        ("post", "/v1/login/{challenge_id}/verify"),
        ("post", "/v1/logout"),
        ("get", "/v1/session"),
        ("get", "/v1/sessions"),
        ("delete", "/v1/sessions"),
        ("delete", "/v1/sessions/{session_id}"),
        ("get", "/v1/session/verify"),
        ("post", "/v1/session/token"),
        ("get", "/.well-known/jwks.json"),
        ("post", "/v1/reauthenticate"),
        ("get", "/v1/two-factor"),
        ("post", "/v1/two-factor/enrollment"),
        ("post", "/v1/two-factor/enrollment/{enrollment_id}/confirm"),
        ("delete", "/v1/two-factor"),
        ("post", "/v1/two-factor/recovery-codes"),
        ("delete", "/v1/two-factor/wrong-codes"),
        ("get", "/v1/trusted-devices"),
        ("delete", "/v1/trusted-devices"),
        ("delete", "/v1/trusted-devices/{device_id}"),
        ("put", "/v1/phone"),
        ("post", "/v1/phone/verify"),
        ("delete", "/v1/phone"),
        ("get", "/v1/team"),
        ("post", "/v1/password"),
        ("get", "/v1/activity"),
        ("post", "/v1/callbacks/twilio/status"),
        ("get", "/v1/support/accounts"),
        ("get", "/v1/support/accounts/{account_id}"),
        ("get", "/v1/support/accounts/{account_id}/timeline"),
        ("get", "/v1/support/reset-policy"),
        ("post", "/v1/support/accounts/{account_id}/two-factor-resets"),
        ("post", "/v1/support/accounts/{account_id}/unlock"),
        ("get", "/v1/support/two-factor-resets"),
        ("get", "/v1/time"),
    }
    served = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert promised <= served, promised - served
    assert b"swagger-ui" in portal.get("/docs/").body


def test_a_token_for_other_services_verifies_against_the_key_set(stack, make_person):
    person = make_person()
    token = person.enrolled().post("/v1/session/token").body["token"]
    key_set = jwt.PyJWKSet.from_dict(Portal(stack.base_url).get("/.well-known/jwks.json").body)
    key = key_set[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["EdDSA"], issuer=stack.base_url, audience=stack.base_url)
    assert claims["sub"] == person.id
    assert claims["acr"] == "aal2"
    assert set(claims["amr"]) == {"pwd", "otp", "mfa"}
    assert claims["exp"] - claims["iat"] == 300


def test_the_second_factor_of_an_operator_is_required(stack, make_person):
    operator = make_person(role="support", team="Support")
    portal = operator.signed_in()
    assert portal.get("/v1/support/accounts?query=example").code == "second_factor_required"
    assert portal.post("/v1/two-factor/enrollment").code == "enrollment_word_required"
    operator.enrolled()
    assert operator.signed_in().get("/v1/support/accounts?query=example").status == 200
    member = make_person()
    assert member.signed_in().get("/v1/support/accounts?query=example").code == "forbidden"


def test_no_part_asked_redis_for_anything_that_it_has_no_right_to(stack):
    with Redis.from_url(stack.settings.redis_url, decode_responses=True) as operator:
        assert [(entry["username"], entry["object"]) for entry in operator.acl_log()] == []
