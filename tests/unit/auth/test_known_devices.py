"""Known devices: listed, ended one by one, by time, by wrong codes and at logout; and the owner's word from one."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from services.auth import limits
from services.auth.domain.account import Account
from services.auth.store import devices
from shared.database import reading, writing
from shared.problems import Unavailable
from tests.support import auth
from tests.support.auth import add_device, events_in, timeline_of, types_of
from tests.support.portal import ORIGIN
from tests.support.sign_in import device_cookie_name, problem, sessions, spent


@dataclass
class Browser:
    """A cookie client that signs in with a right code, or with a wrong one."""

    client: object
    otp: auth.FakeOtp
    account: Account

    def password(self) -> TestResponse:
        body = {"email": self.account.email, "password": auth.PASSWORD}
        return self.client.post("/v1/login", json=body)

    def code(self, code: str | None = None, **members) -> TestResponse:
        challenge_id = self.password().json["challenge"]["id"]
        right = self.otp.expect(self.account.id, "login", challenge_id, factor="totp")
        return self.client.post(f"/v1/login/{challenge_id}/verify", json={"code": code or right, **members})

    @property
    def cookie(self) -> str:
        return device_cookie_name(self.account)

    @property
    def token(self) -> str | None:
        cookie = self.client.get_cookie(self.cookie)
        return cookie.value if cookie else None


@pytest.fixture
def browser(app, otp, mia):
    return Browser(app.test_client(), otp, mia)


def known(deps, account):
    with reading(deps.database) as connection:
        return devices.known(connection, account.id, deps.clock(), after="", limit=100)


# --- listed, ended one by one ---------------------------------------------------------------------------------------


def test_a_browser_that_completed_a_login_is_listed_and_says_which_one_is_this_one(browser, api, mia):
    browser.code()
    own = browser.client.get("/v1/trusted-devices").json["items"]
    assert [(item["current"], item["trusted_until"]) for item in own] == [(True, None)]
    assert [item["current"] for item in api(mia).get("/v1/trusted-devices").json["items"]] == [False]


def test_a_known_device_is_ended_by_its_owner_with_its_sessions(browser, api, deps, mia):
    browser.code()
    (device,) = known(deps, mia)
    assert api(mia).delete(f"/v1/trusted-devices/{device.id}").status_code == 204
    assert known(deps, mia) == []
    assert browser.client.get("/v1/session").status_code == 401
    browser.password()
    browser.code()
    assert known(deps, mia)[0].id != device.id


# --- ninety days ------------------------------------------------------------------------------------------------------


def test_it_ends_on_the_server_ninety_days_after_its_last_use(browser, deps, mia, otp, clock):
    browser.code()
    (device,) = known(deps, mia)
    clock.turn(days=89)
    browser.code()
    clock.turn(days=89)
    assert [one.id for one in known(deps, mia)] == [device.id]
    clock.turn(days=1)
    assert known(deps, mia) == []
    otp.tried_from.clear()
    browser.code()
    assert otp.tried_from == [None], "a stranger by now"
    assert known(deps, mia)[0].id != device.id


def test_a_device_that_ends_while_its_login_waits_opens_no_session(browser, deps, mia, otp, clock):
    browser.code()
    clock.turn(days=90, seconds=-30)
    challenge_id = browser.password().json["challenge"]["id"]
    clock.turn(seconds=30)
    code = otp.expect(mia.id, "login", challenge_id, factor="totp")
    answer = browser.client.post(f"/v1/login/{challenge_id}/verify", json={"code": code})
    assert problem(answer) == (410, "challenge_expired")


def test_each_login_notes_the_use_and_renews_the_cookie(browser, deps, mia, clock):
    browser.code()
    token = browser.token
    clock.turn(days=10)
    answer = browser.code()
    (cookie,) = [line for line in answer.headers.getlist("Set-Cookie") if line.startswith(browser.cookie)]
    assert "Max-Age=7776000" in cookie
    assert browser.token == token
    (device,) = known(deps, mia)
    assert device.last_used_at - device.created_at == timedelta(days=10)


# --- wrong codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 429])
def test_a_device_that_has_spent_its_row_is_no_longer_known(browser, deps, mia, otp, status):
    browser.code()
    (device,) = known(deps, mia)
    other = add_device(deps, mia, "other", trusted=False)
    owner_elsewhere, _ = auth.sign_in(deps, mia, device_id=other)
    challenge_id = browser.password().json["challenge"]["id"]
    otp.spent_rows = ["device"]
    otp.refused_as = "invalid_passcode" if status == 401 else "second_factor_locked"
    wrong = {"code": "111111"}
    answer = browser.client.post(f"/v1/login/{challenge_id}/verify", json=wrong)
    assert answer.status_code == status
    assert "spent_rows" not in answer.json
    assert [one.id for one in known(deps, mia)] == [other]
    row = timeline_of(deps, mia)[-1]
    assert (row.type, row.details) == ("trusted_device.revoked", {"device_id": device.id, "cause": "wrong_codes"})
    assert [session.id for session in sessions(deps, mia)] == [owner_elsewhere.id], "those it has opened end with it"
    assert problem(browser.client.post(f"/v1/login/{challenge_id}/verify", json=wrong)) == (410, "challenge_expired")


def test_a_row_that_no_device_or_session_has_spent_ends_nothing(browser, deps, mia, otp):
    browser.code()
    for rows in ([], ["all"], ["strangers"], ["session"]):
        otp.spent_rows = rows
        assert problem(browser.code("111111")) == (401, "invalid_passcode")
    assert len(known(deps, mia)) == 1
    assert "trusted_device.revoked" not in types_of(deps, mia)


def test_a_device_ends_while_otp_does_not_take_the_end_of_its_sessions(browser, deps, mia, otp):
    browser.code()
    (session,) = sessions(deps, mia)
    otp.spent_rows = ["device"]
    otp.ending_refusal = Unavailable("otp")
    assert problem(browser.code("111111")) == (401, "invalid_passcode")
    assert known(deps, mia) == []
    assert session.id in {event.session_id for event in events_in(deps) if event.TYPE == "session.ended"}


def test_a_step_up_counts_for_its_session_and_for_its_device(deps, api, mia, otp):
    device_id = add_device(deps, mia, "mine", trusted=False)
    caller = api(mia, device_id=device_id)
    caller.post("/v1/reauthenticate", {"password": auth.PASSWORD, "code": "111111"})
    assert otp.tried_from == [device_id]


@pytest.mark.parametrize("row", ["session", "device"])
def test_a_session_whose_step_up_has_spent_its_row_ends(deps, api, mia, otp, row):
    device_id = add_device(deps, mia, "mine", trusted=False)
    caller, other = api(mia, device_id=device_id), api(mia)
    otp.spent_rows = [row]
    answer = caller.post("/v1/reauthenticate", {"password": auth.PASSWORD, "code": "111111"})
    assert problem(answer) == (401, "not_authenticated")
    assert caller.get("/v1/session").status_code == 401
    assert other.get("/v1/session").status_code == 200
    assert [one.id for one in known(deps, mia)] == ([device_id] if row == "session" else [])
    if row == "session":
        ended = timeline_of(deps, mia)[-1]
        assert (ended.type, ended.details["cause"]) == ("session.ended", "wrong_codes")


# --- forgotten at logout ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["api", "form"])
def test_a_logout_may_forget_the_browser(browser, deps, mia, by):
    browser.code(remember_device=True)
    (device,) = known(deps, mia)
    token = browser.token
    if by == "api":
        assert browser.client.post("/v1/logout", json={"forget_browser": True}).status_code == 204
    else:
        form = {"forget_browser": "on"}
        assert browser.client.post("/logout", data=form, headers={"Origin": ORIGIN}).status_code == 303
    assert browser.token is None
    assert known(deps, mia) == []
    assert sessions(deps, mia) == []
    row = timeline_of(deps, mia)[-1]
    assert (row.type, row.details) == ("trusted_device.revoked", {"device_id": device.id, "cause": "forgotten"})
    browser.client.set_cookie(browser.cookie, token)
    assert browser.password().json["status"] == "second_factor_required"


@pytest.mark.parametrize("body", [None, {}, {"forget_browser": False}])
def test_a_plain_logout_forgets_nothing(browser, deps, mia, body):
    browser.code()
    assert browser.client.post("/v1/logout", json=body).status_code == 204
    assert browser.token is not None
    assert len(known(deps, mia)) == 1
    assert sessions(deps, mia) == []


def test_a_session_that_no_device_has_opened_ends_and_the_browsers_device_with_it(deps, api, mia):
    add_device(deps, mia, "mine", trusted=False)
    others = add_device(deps, mia, "other", trusted=False)
    caller = api(mia)
    answer = caller.post("/v1/logout", {"forget_browser": True, "device_token": "mine"})
    assert answer.status_code == 204
    assert caller.get("/v1/session").status_code == 401
    assert [one.id for one in known(deps, mia)] == [others]


def test_forgetting_takes_a_plain_true(browser, deps, mia):
    browser.code()
    answer = browser.client.post("/v1/logout", json={"forget_browser": "yes"})
    assert problem(answer) == (422, "validation_failed")
    assert len(known(deps, mia)) == 1


def test_a_browser_is_forgotten_while_otp_is_down(browser, deps, mia, otp):
    browser.code()
    otp.ending_refusal = Unavailable("otp")
    assert browser.client.post("/v1/logout", json={"forget_browser": True}).status_code == 204
    assert known(deps, mia) == []
    assert sessions(deps, mia) == []


# --- the owner's word -------------------------------------------------------------------------------------------------


def let_try(caller):
    return caller.delete("/v1/two-factor/wrong-codes")


def test_the_owner_lets_new_browsers_try_again_from_a_known_one(deps, api, mia, otp):
    otp.strangers_failures[mia.id] = 60
    device_id = add_device(deps, mia, "mine", trusted=False)
    caller = api(mia, device_id=device_id)
    assert [let_try(caller).status_code for _ in range(2)] == [204, 204]
    assert mia.id not in otp.strangers_failures
    row = timeline_of(deps, mia)[-1]
    assert (row.type, row.details["device_id"]) == ("second_factor.strangers_let_try", device_id)
    assert caller.get("/v1/session").status_code == 200


def test_a_known_browser_says_so_three_times_a_day(deps, api, mia, otp):
    caller, other = (api(mia, device_id=add_device(deps, mia, name, trusted=False)) for name in ("mine", "office"))
    assert [let_try(caller).status_code for _ in range(3)] == [204] * 3
    otp.strangers_failures[mia.id] = 60
    assert problem(let_try(caller)) == (429, "too_many_requests")
    assert otp.strangers_failures == {mia.id: 60}
    assert let_try(other).status_code == 204


@pytest.mark.parametrize("device", ["none", "ended", "expired", "another account's"])
def test_only_a_known_browser_may_say_so(deps, api, mia, make_account, otp, clock, device):
    otp.strangers_failures[mia.id] = 60
    owner = make_account("eve@example.com") if device == "another account's" else mia
    at = clock() - timedelta(days=90) if device == "expired" else None
    device_id = None if device == "none" else add_device(deps, owner, "mine", trusted=False, at=at)
    caller = api(mia, device_id=device_id)
    if device == "ended":
        with writing(deps.database) as connection:
            devices.revoke(connection, mia.id, device_id, clock())
    assert problem(let_try(caller)) == (403, "browser_not_known")
    assert otp.strangers_failures == {mia.id: 60}
    assert "second_factor.strangers_let_try" not in types_of(deps, mia)


def test_it_takes_the_full_step_up_window(deps, api, mia, otp):
    otp.strangers_failures[mia.id] = 60
    device_id = add_device(deps, mia, "mine", trusted=False)
    assert problem(let_try(api(mia, stepped_up=False, device_id=device_id))) == (403, "step_up_required")
    assert otp.strangers_failures == {mia.id: 60}


def test_nothing_is_recorded_when_otp_does_not_answer(deps, api, mia, otp):
    device_id = add_device(deps, mia, "mine", trusted=False)
    otp.ending_refusal = Unavailable("otp")
    assert problem(let_try(api(mia, device_id=device_id))) == (503, "service_unavailable")
    assert spent(deps, limits.STRANGERS_LET_TRY, device_id) == [0]
    assert "second_factor.strangers_let_try" not in types_of(deps, mia)
