"""Several people at one browser: a device cookie for each account, at most eight; none is good for another account."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from services.auth import limits, trusted_devices
from services.auth.domain.account import Account
from services.auth.store import devices
from shared.database import reading, writing
from tests.support import auth
from tests.support.auth import add_device
from tests.support.portal import ORIGIN
from tests.support.sign_in import device_cookie_name

KEPT = 8


@dataclass
class SharedBrowser:
    """One browser with its cookies, driven by the API as scripts do it, or by plain forms."""

    client: object
    otp: auth.FakeOtp
    by: str = "api"
    headers: dict = field(default_factory=lambda: {"Origin": ORIGIN})

    def password(self, account: Account) -> str | None:
        """Give the right password; the id of the challenge, or None where no code is asked for."""
        body = {"email": account.email, "password": auth.PASSWORD}
        if self.by == "form":
            place = self.client.post("/login", data=body, headers=self.headers).headers["Location"]
            return place.removeprefix("/login/") if place.startswith("/login/") else None
        return self.client.post("/v1/login", json=body).json.get("challenge", {}).get("id")

    def code(self, account: Account, challenge_id: str, code: str, *, ticked: bool) -> int:
        """Answer a challenge; the status."""
        path = f"/login/{challenge_id}"
        if self.by == "form":
            form = {"code": code, **({"remember_device": "on"} if ticked else {})}
            return self.client.post(path, data=form, headers=self.headers).status_code
        return self.client.post(f"/v1{path}/verify", json={"code": code, "remember_device": ticked}).status_code

    def sign_in(self, account: Account, *, ticked: bool = False) -> bool:
        """Sign in; whether a code was asked for."""
        challenge_id = self.password(account)
        if challenge_id is not None:
            code = self.otp.expect(account.id, "login", challenge_id, factor="totp")
            assert self.code(account, challenge_id, code, ticked=ticked) in {200, 303}
        return challenge_id is not None

    def log_out(self) -> None:
        if self.by == "form":
            assert self.client.post("/logout", headers=self.headers).status_code == 303
        else:
            assert self.client.post("/v1/logout").status_code == 204

    def cookie(self, account: Account) -> str | None:
        held = self.client.get_cookie(device_cookie_name(account))
        return held.value if held else None


@pytest.fixture
def browser(app, otp):
    return SharedBrowser(app.test_client(), otp)


@pytest.fixture
def eve(make_account, otp, password_hash):
    account = make_account("eve@example.com", password_hash=password_hash)
    otp.enabled.add(account.id)
    return account


@pytest.fixture
def people(make_account, password_hash):
    """People with 2FA off, as many as are asked for."""
    return lambda count: [make_account(f"m{n}@example.com", password_hash=password_hash) for n in range(count)]


def device_of(deps, account):
    """The id of the one device that the account knows."""
    with reading(deps.database) as connection:
        (device,) = devices.known(connection, account.id, deps.clock(), after="", limit=100)
    return device.id


# --- two people -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others_tick", [True, False])
@pytest.mark.parametrize("first_ticks", [True, False])
@pytest.mark.parametrize("by", ["api", "form"])
def test_each_keeps_their_own_trust_and_tries(deps, app, mia, eve, otp, by, first_ticks, others_tick):
    browser = SharedBrowser(app.test_client(), otp, by)
    assert browser.sign_in(mia, ticked=first_ticks)
    browser.log_out()
    assert browser.sign_in(eve, ticked=others_tick), "nobody skips another person's code"
    assert otp.tried_from == [None, None], "nobody has another person's tries"
    browser.log_out()
    for account, ticked in ((mia, first_ticks), (eve, others_tick), (mia, first_ticks)):
        otp.tried_from.clear()
        assert browser.sign_in(account) is not ticked
        assert otp.tried_from == ([] if ticked else [device_of(deps, account)])  # signed in over the other's session


@pytest.mark.parametrize("by", ["api", "form"])
def test_one_persons_wrong_codes_and_logout_leave_the_others_device(deps, app, mia, eve, otp, by):
    browser = SharedBrowser(app.test_client(), otp, by)
    browser.sign_in(mia, ticked=True)
    browser.sign_in(eve)
    otp.spent_rows = ["device"]
    refused = browser.code(eve, browser.password(eve), "111111", ticked=True)
    assert refused == (401 if by == "api" else 410)  # the form shows the login page, because the challenge has ended
    otp.spent_rows = []
    browser.sign_in(eve)
    if by == "form":
        browser.client.post("/logout", data={"forget_browser": "on"}, headers=browser.headers)
    else:
        browser.client.post("/v1/logout", json={"forget_browser": True})
    assert browser.cookie(eve) is None
    assert not browser.sign_in(mia)
    assert browser.sign_in(eve)


def test_one_persons_token_under_anothers_name_opens_nothing(browser, mia, eve, otp):
    browser.sign_in(mia, ticked=True)
    browser.client.set_cookie(device_cookie_name(eve), browser.cookie(mia))
    assert browser.sign_in(eve)
    assert otp.tried_from == [None, None]
    assert browser.cookie(eve) != browser.cookie(mia)
    assert not browser.sign_in(mia)


# --- eight accounts ---------------------------------------------------------------------------------------------------


def test_a_browser_keeps_the_cookies_of_eight_accounts_and_drops_the_one_that_was_unused_for_longest(
    browser, people, clock
):
    accounts = people(KEPT + 2)
    for account in (*accounts[:KEPT], accounts[0], *accounts[KEPT:]):
        browser.sign_in(account)
        clock.turn(seconds=1)
    assert limits.DEVICES_OF_A_BROWSER == KEPT
    kept = [browser.cookie(account) is not None for account in accounts]
    assert kept == [True, False, False, *[True] * (KEPT - 1)], "who came again stays"


@pytest.mark.parametrize("account_is", ["forgotten elsewhere", "made up"])
def test_a_cookie_that_no_account_knows_goes_first(deps, browser, people, clock, account_is):
    *accounts, last = people(KEPT + 1)
    for account in accounts:
        browser.sign_in(account)
        clock.turn(seconds=1)
    dead = accounts[-1]
    if account_is == "forgotten elsewhere":
        with writing(deps.database) as connection:
            devices.revoke_all(connection, dead.id, deps.clock(), deps.clock())
    else:
        browser.client.set_cookie(device_cookie_name(dead), "A" * 43)
    browser.sign_in(last)
    assert [account.id for account in (*accounts, last) if browser.cookie(account) is None] == [dead.id]


def test_a_browser_of_an_earlier_release_is_known_to_each_of_its_twenty_accounts(deps, browser, mia, people, clock):
    for account in (mia, *people(19)):
        token = f"token-{account.id}"
        add_device(deps, account, token, at=clock() - timedelta(days=1))
        browser.client.set_cookie(device_cookie_name(account), token)
    assert not browser.sign_in(mia)
    held = [name for name in _names(browser.client) if "device" in name]
    assert len(held) == KEPT
    assert device_cookie_name(mia) in held


def test_without_the_database_the_cookie_goes_that_the_browser_has_had_for_longest(deps):
    held = {"first": "a", "second": "b"}
    with deps.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE devices RENAME TO gone")
    assert trusted_devices.longest_unused(deps, held, 1) == ["first"]


def test_a_client_that_shows_its_token_by_header_gets_no_cookie_and_loses_none(app, browser, mia, eve):
    browser.sign_in(mia, ticked=True)
    headers = {"X-Device-Token": browser.cookie(mia)}
    body = {"email": mia.email, "password": auth.PASSWORD, "transport": "bearer"}
    answer = app.test_client().post("/v1/login", json=body, headers=headers)
    assert answer.json["status"] == "authenticated"
    assert "Set-Cookie" not in answer.headers
    other = app.test_client().post("/v1/login", json={**body, "email": eve.email}, headers=headers)
    assert other.json["status"] == "second_factor_required"


def _names(client):
    return [cookie.key for cookie in client._cookies.values()]
