"""What strangers in the owner's network use up is never the owner's: a known browser has rows of its own."""

import pytest

from services.auth import limits
from tests.support.auth import PASSWORD
from tests.support.sign_in import challenge, complete, down, ip_of, log_in, problem, spend, spent, verify

TRIES = 60


@pytest.fixture
def known(stranger, otp, mia):
    """The device token of a browser that mia has signed in with, and that must show a code all the same."""
    answer = stranger.post("/v1/login", {"email": mia.email, "password": PASSWORD, "transport": "cookie"})
    challenge_id = answer.json["challenge"]["id"]
    otp.expect(mia.id, "login", challenge_id)
    cookies = verify(stranger, challenge_id).headers.getlist("Set-Cookie")
    return next(
        cookie.partition("=")[2].partition(";")[0] for cookie in cookies if "device" in cookie.partition("=")[0]
    )


def test_a_password_from_a_known_browser_where_the_network_has_used_up_its_tries(deps, stranger, mia, known):
    spend(deps, limits.LOGIN_IP, ip_of(deps), TRIES)
    assert problem(log_in(stranger, mia)) == (429, "too_many_requests")
    assert log_in(stranger, mia, device_token=known).status_code == 200
    assert log_in(stranger, mia, "wrong", device_token=known).status_code == 401
    assert spent(deps, limits.LOGIN_IP, ip_of(deps)) == [TRIES, TRIES]


def test_another_accounts_browser_is_no_known_one(deps, stranger, tom, known):
    spend(deps, limits.LOGIN_IP, ip_of(deps), TRIES)
    assert problem(log_in(stranger, tom, device_token=known)) == (429, "too_many_requests")


def test_a_code_from_a_known_browser_where_the_network_has_used_up_its_tries(deps, stranger, otp, mia, known):
    mine, strangers = challenge(stranger, mia, device_token=known), challenge(stranger, mia)
    spend(deps, limits.VERIFY_IP, ip_of(deps), TRIES - spent(deps, limits.VERIFY_IP, ip_of(deps))[0])
    otp.expect(mia.id, "login", mine)
    assert problem(verify(stranger, strangers)) == (429, "too_many_requests")
    assert problem(verify(stranger, "chl_nobodys")) == (429, "too_many_requests")
    assert verify(stranger, mine).status_code == 200


def test_what_was_not_counted_is_not_given_back(deps, stranger, otp, mia, known):
    mine = challenge(stranger, mia, device_token=known)
    spend(deps, limits.VERIFY_IP, ip_of(deps), TRIES - spent(deps, limits.VERIFY_IP, ip_of(deps))[0])
    otp.go_down()
    down(verify(stranger, mine), "otp")
    assert spent(deps, limits.VERIFY_IP, ip_of(deps)) == [TRIES, TRIES]


def test_a_text_to_a_known_browser_where_the_network_has_used_up_its_sends(deps, stranger, otp, mia, known):
    mine, strangers = challenge(stranger, mia, device_token=known), challenge(stranger, mia)
    spend(deps, limits.SMS_IP, ip_of(deps), 20)
    assert problem(stranger.post(f"/v1/login/{strangers}/sms")) == (429, "too_many_requests")
    assert stranger.post(f"/v1/login/{mine}/sms").status_code == 202
    (device_id,) = otp.sent_for
    assert device_id.startswith("dev_"), "otp counts it for the device"


def test_a_text_that_was_not_counted_is_not_given_back(deps, stranger, otp, mia, known):
    mine = challenge(stranger, mia, device_token=known)
    spend(deps, limits.SMS_IP, ip_of(deps), 20)
    otp.go_down()
    down(stranger.post(f"/v1/login/{mine}/sms"), "otp")
    assert spent(deps, limits.SMS_IP, ip_of(deps)) == [20, 20]


def test_a_text_to_any_other_browser_is_counted_for_none(stranger, otp, mia):
    complete(stranger, otp, mia)
    assert stranger.post(f"/v1/login/{challenge(stranger, mia)}/sms").status_code == 202
    assert otp.sent_for == [None]
