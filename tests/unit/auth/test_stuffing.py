"""A right password stays charged to its network until its login is completed (row 71)."""

from services.auth import limits
from services.auth.deps import subject
from tests.support.auth import end_all
from tests.support.sign_in import (
    challenge,
    complete,
    down,
    email_of,
    ip_of,
    log_in,
    problem,
    spend,
    spent,
    trusted_token,
    verify,
)

IN_FIVE_MINUTES = limits.LOGIN_IP.windows[0].max


def charged(deps):
    return spent(deps, limits.LOGIN_IP, ip_of(deps))


def test_right_passwords_that_meet_no_code_use_up_what_a_network_has(deps, stranger, mia):
    for tries in (1, 2, 3):
        challenge(stranger, mia)
        assert charged(deps) == [tries, tries]
    spend(deps, limits.LOGIN_IP, ip_of(deps), IN_FIVE_MINUTES - 3)
    assert problem(log_in(stranger, mia)) == (429, "too_many_requests")


def test_the_accounts_own_row_gets_a_right_password_back(deps, stranger, mia):
    challenge(stranger, mia)
    assert spent(deps, limits.LOGIN_EMAIL, email_of(deps, mia)) == [0, 0]


def test_a_wrong_code_gives_nothing_back_and_the_right_one_does(deps, stranger, mia, otp):
    spend(deps, limits.LOGIN_IP, ip_of(deps), 5)
    challenge_id = challenge(stranger, mia)
    assert verify(stranger, challenge_id, "000000").status_code == 401
    assert charged(deps) == [6, 6]
    otp.expect(mia.id, "login", challenge_id)
    assert verify(stranger, challenge_id).status_code == 200
    assert charged(deps) == [5, 5]
    assert verify(stranger, challenge_id).status_code == 410
    assert charged(deps) == [5, 5], "given back once"


def test_a_login_that_is_void_gives_nothing_back(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id)
    end_all(deps, mia)
    assert verify(stranger, challenge_id).status_code == 410
    assert charged(deps) == [1, 1]


def test_an_account_without_a_second_factor_completes_its_login_at_once(deps, stranger, tom):
    assert log_in(stranger, tom).status_code == 200
    assert charged(deps) == [0, 0]


def test_a_known_device_is_neither_charged_nor_given_anything(deps, stranger, mia, otp):
    token = trusted_token(stranger, otp, mia)
    spend(deps, limits.LOGIN_IP, ip_of(deps), 5)
    assert log_in(stranger, mia, device_token=token).status_code == 200
    complete(stranger, otp, mia)
    assert charged(deps) == [5, 5]


def test_an_outage_after_a_right_password_costs_nothing(deps, stranger, mia, otp):
    otp.go_down()
    for _ in range(3):
        down(log_in(stranger, mia), "otp")
    assert charged(deps) == [0, 0]


def test_the_networks_of_a_48_share_one_budget(configured, api, mia, otp):
    deps = configured(TRUSTED_PROXY_COUNT="1")
    spend(deps, limits.LOGIN_IP, subject(deps, "ip", "2001:db8:7::/48"), IN_FIVE_MINUTES - 3)
    said = [log_in(api(), mia, headers={"X-Forwarded-For": f"2001:db8:7:{link:x}::1"}) for link in range(5)]
    assert [answer.status_code for answer in said] == [200, 200, 200, 429, 429]
    challenge_id = said[0].json["challenge"]["id"]
    otp.expect(mia.id, "login", challenge_id)
    assert verify(api(), challenge_id).status_code == 200
    left = IN_FIVE_MINUTES - 1
    assert spent(deps, limits.LOGIN_IP, subject(deps, "ip", "2001:db8:7::/48")) == [left, left]
    assert spent(deps, limits.for_a_link(limits.LOGIN_IP), subject(deps, "ip", "2001:db8:7::/64")) == [0, 0]
