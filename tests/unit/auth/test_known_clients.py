"""What strangers try does not hold out an account in a client that it knows, with 2FA or without."""

import pytest
from sqlalchemy import func, select

from services.auth import limits, two_factor
from services.auth.consequences import Acting
from services.auth.domain.session import Factor
from services.auth.models import devices as table
from services.auth.store import devices
from shared.database import reading
from tests.support import auth
from tests.support.auth import sign_in
from tests.support.sign_in import (
    challenge,
    complete,
    device_cookie_name,
    email_of,
    ip_of,
    log_in,
    problem,
    sessions,
    spend,
    spent,
    verify,
)


def count_devices(deps, account):
    with reading(deps.database) as connection:
        return connection.execute(select(func.count()).where(table.c.account_id == account.id)).scalar_one()


def body_of(account, password=auth.PASSWORD):
    return {"email": account.email, "password": password}


def counted_under(caller, otp, account, token):
    """The device in whose row otp counts a code of the client that holds this token; None: the strangers' row."""
    devices_told = []
    otp.verify = lambda *args: devices_told.append(args[-1]) or auth.FakeOtp.verify(otp, *args)
    complete(caller, otp, account, device_token=token)
    (device_id,) = devices_told
    return device_id


@pytest.fixture
def spend_by_strangers(deps):
    """Ten wrong passwords for an account, and a network that has spent its own."""

    def spend_all(account):
        spend(deps, limits.LOGIN_EMAIL, email_of(deps, account), 10)
        spend(deps, limits.LOGIN_IP, ip_of(deps), 60)

    return spend_all


# --- an account without 2FA -------------------------------------------------------------------------------------------


def test_ten_wrong_passwords_by_strangers_do_not_hold_out_the_owners_browser(app, tom, spend_by_strangers):
    browser = app.test_client()
    assert browser.post("/v1/login", json=body_of(tom)).status_code == 200
    browser.post("/v1/logout")
    spend_by_strangers(tom)
    assert app.test_client().post("/v1/login", json=body_of(tom)).status_code == 429
    assert browser.post("/v1/login", json=body_of(tom)).json["status"] == "authenticated"


def test_nor_a_bearer_client_that_sends_its_device_token(stranger, tom, spend_by_strangers):
    token = log_in(stranger, tom).json["device_token"]
    spend_by_strangers(tom)
    assert log_in(stranger, tom).status_code == 429
    again = log_in(stranger, tom, device_token=token)
    assert again.json["status"] == "authenticated"
    assert "device_token" not in again.json  # it has one


def test_a_known_client_has_a_row_of_its_own_that_ends(deps, stranger, tom):
    token = log_in(stranger, tom).json["device_token"]
    for _ in range(10):
        assert log_in(stranger, tom, "wrong", device_token=token).status_code == 401
    assert problem(log_in(stranger, tom, device_token=token)) == (429, "too_many_requests")
    assert spent(deps, limits.LOGIN_EMAIL, email_of(deps, tom)) == [0, 0]
    assert log_in(stranger, tom).status_code == 200


def test_a_wrong_password_makes_nobody_known(deps, app, stranger, tom):
    assert "device_token" not in log_in(stranger, tom, "wrong").json
    browser = app.test_client()
    browser.post("/v1/login", json=body_of(tom, "wrong"))
    assert browser.get_cookie(device_cookie_name(tom)) is None
    assert count_devices(deps, tom) == 0


def test_its_session_rests_on_the_device(deps, stranger, tom):
    log_in(stranger, tom)
    (session,) = sessions(deps, tom)
    with reading(deps.database) as connection:
        assert devices.ids(connection, tom.id, deps.clock()) == [session.device_id]


def test_a_program_that_keeps_no_token_does_not_fill_the_table(deps, stranger, tom, clock):
    tokens = []
    for _ in range(limits.DEVICES_AT_MOST + 2):
        tokens.append(log_in(stranger, tom).json["device_token"])
        clock.turn(seconds=1)
    assert count_devices(deps, tom) == limits.DEVICES_AT_MOST
    with reading(deps.database) as connection:
        known = [devices.by_tokens(connection, tom.id, [token], deps.clock()) is not None for token in tokens]
    assert known == [False, False] + [True] * limits.DEVICES_AT_MOST


@pytest.mark.parametrize("second_factor", [False, True])
def test_a_client_that_came_again_outlives_those_that_came_once(deps, stranger, tom, otp, clock, second_factor):
    """As a program does that keeps no token, be it that it has the codes, too."""
    if second_factor:
        otp.enabled.add(tom.id)

    def sign_in(**members):
        answer = complete(stranger, otp, tom, **members) if second_factor else log_in(stranger, tom, **members)
        clock.turn(minutes=7)
        return answer.json

    own = sign_in()["device_token"]
    sign_in(device_token=own)
    for _ in range(limits.DEVICES_AT_MOST + 1):
        sign_in()
    assert count_devices(deps, tom) == limits.DEVICES_AT_MOST + second_factor
    with reading(deps.database) as connection:
        assert devices.by_tokens(connection, tom.id, [own], deps.clock()) is not None


def test_a_trusted_device_makes_no_room(deps, stranger, tom, clock):
    auth.add_device(deps, tom, "trusted")
    for _ in range(limits.DEVICES_AT_MOST + 1):
        clock.turn(seconds=1)
        log_in(stranger, tom)
    with reading(deps.database) as connection:
        assert devices.by_tokens(connection, tom.id, ["trusted"], deps.clock()) is not None


# --- known is not trusted ---------------------------------------------------------------------------------------------


def test_known_by_the_password_skips_no_code(deps, stranger, tom, otp):
    """Even if the device has outlived the enrolment, which ends it."""
    token = log_in(stranger, tom).json["device_token"]
    otp.enabled.add(tom.id)
    challenge_id = challenge(stranger, tom, device_token=token)
    otp.expect(tom.id, "login", challenge_id, factor="totp")
    answer = verify(stranger, challenge_id)
    assert answer.json["session"]["factors"] == ["password", "totp"]
    assert answer.json["device_token"] not in {None, token}  # known anew, by the second factor


def test_known_by_the_password_pays_as_a_stranger_once_2fa_is_on(deps, stranger, tom, otp):
    token = log_in(stranger, tom).json["device_token"]
    otp.enabled.add(tom.id)
    spend(deps, limits.LOGIN_IP, ip_of(deps), 5)
    challenge_id = challenge(stranger, tom, device_token=token)
    assert spent(deps, limits.LOGIN_IP, ip_of(deps)) == [6, 6]
    otp.expect(tom.id, "login", challenge_id, factor="totp")
    verify(stranger, challenge_id)
    assert spent(deps, limits.LOGIN_IP, ip_of(deps)) == [5, 5]


def test_known_by_the_password_has_no_row_of_codes_of_its_own(stranger, tom, otp):
    token = log_in(stranger, tom).json["device_token"]
    otp.enabled.add(tom.id)
    assert counted_under(stranger, otp, tom, token) is None


def test_turning_2fa_on_ends_what_the_password_made_known(deps, stranger, tom, otp, clock):
    token = log_in(stranger, tom).json["device_token"]
    clock.turn(seconds=1)
    otp.expect(tom.id, "enrollment", f"enr_{tom.id}")
    two_factor.confirm(deps, tom, Acting(*sign_in(deps, tom)), f"enr_{tom.id}", "424242", "en")
    with reading(deps.database) as connection:
        assert devices.by_tokens(connection, tom.id, [token], deps.clock()) is None


# --- an account with 2FA ----------------------------------------------------------------------------------------------


def test_a_bearer_client_is_known_after_a_code_without_being_remembered(stranger, mia, otp, spend_by_strangers):
    token = complete(stranger, otp, mia).json["device_token"]
    spend_by_strangers(mia)
    assert log_in(stranger, mia).status_code == 429
    assert log_in(stranger, mia, device_token=token).json["status"] == "second_factor_required"


def test_a_code_counts_in_the_rows_of_a_known_bearer_client(stranger, mia, otp):
    token = complete(stranger, otp, mia).json["device_token"]
    assert counted_under(stranger, otp, mia, token).startswith("dev_")


def test_a_known_bearer_client_gets_no_second_token(stranger, mia, otp):
    token = complete(stranger, otp, mia).json["device_token"]
    assert "device_token" not in complete(stranger, otp, mia, device_token=token).json


# --- one browser, several people --------------------------------------------------------------------------------------


def test_a_browser_is_known_to_each_account_that_signed_in_there(app, tom, make_account, password_hash, deps):
    eve = make_account("eve@example.com", password_hash=password_hash)
    browser = app.test_client()
    for account in (tom, eve):
        assert browser.post("/v1/login", json=body_of(account)).status_code == 200
        browser.post("/v1/logout")
    spend(deps, limits.LOGIN_EMAIL, email_of(deps, tom), 10)
    assert browser.post("/v1/login", json=body_of(tom)).status_code == 200
    assert (count_devices(deps, tom), count_devices(deps, eve)) == (1, 1)


def test_a_form_of_the_portal_makes_its_browser_known(app, tom, spend_by_strangers):
    browser = app.test_client()
    assert browser.post("/login", data=body_of(tom)).status_code == 303
    assert browser.get_cookie(device_cookie_name(tom)) is not None
    spend_by_strangers(tom)
    assert browser.post("/login", data=body_of(tom)).status_code == 303


def test_a_logout_that_forgets_the_browser_leaves_it_known_to_the_others(app, tom, make_account, password_hash, deps):
    eve = make_account("eve@example.com", password_hash=password_hash)
    browser = app.test_client()
    for account in (eve, tom):
        browser.post("/v1/login", json=body_of(account))
        browser.post("/v1/logout", json={"forget_browser": account is tom})
    assert browser.get_cookie(device_cookie_name(tom)) is None
    assert browser.get_cookie(device_cookie_name(eve)) is not None
    with reading(deps.database) as connection:
        known = [len(devices.ids(connection, account.id, deps.clock())) for account in (tom, eve)]
    assert known == [0, 1]


def test_a_cookie_of_an_earlier_release_gets_the_accounts_name(app, deps, tom):
    auth.add_device(deps, tom, "old", trusted=False, won_by=Factor.PASSWORD)
    browser = app.test_client()
    browser.set_cookie("latchkey_device", "old")
    assert browser.post("/v1/login", json=body_of(tom)).status_code == 200
    assert browser.get_cookie(device_cookie_name(tom)).value == "old"
