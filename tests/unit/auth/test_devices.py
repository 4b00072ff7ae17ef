from datetime import timedelta

import pytest

from services.auth import events, limits, password_change, two_factor
from services.auth.consequences import Acting
from services.auth.models import devices as table
from services.auth.store import accounts, devices
from shared.database import reading, writing
from shared.messages import TwoFactorResetApplied
from shared.problems import Unavailable
from tests.support import auth
from tests.support.auth import CLIENT, PHONE, events_in, notices_in, sign_in, timeline_of, types_of
from tests.support.sign_in import challenge, complete, device_cookie_name, log_in, problem, trusted_token, verify

# Every marked call (ASVS 7.5.1), and a body that it would take.
MARKED = [
    ("POST", "/v1/two-factor/enrollment", None),
    ("DELETE", "/v1/two-factor", None),
    ("DELETE", "/v1/two-factor/wrong-codes", None),
    ("POST", "/v1/two-factor/recovery-codes", None),
    ("POST", "/v1/password", {"new_password": "nine dry badgers hum softly"}),
    ("PUT", "/v1/phone", {"country": "DE", "number": "01512 3456780"}),
    ("POST", "/v1/phone/sms", None),
    ("POST", "/v1/phone/call", None),
    ("GET", "/v1/two-factor/enrollment", None),
    ("DELETE", "/v1/phone", None),
    ("POST", "/v1/team/approvals/{check}", {"approve": True}),
    ("PUT", "/v1/team/{account}/phone", {"country": "DE", "number": "01512 3456780"}),
]


@pytest.fixture
def stranger(api):
    return api()


@pytest.fixture
def eve(make_account, otp, password_hash):
    account = make_account("eve@example.com", password_hash=password_hash)
    otp.enabled.add(account.id)
    return account


def device_cookie(browser, account):
    """The cookie by which this browser is known to the account."""
    return browser.get_cookie(device_cookie_name(account))


def needs_a_code(answer):
    return answer.json["status"] == "second_factor_required"


def give_password(deps, account, password_hash):
    """PASSWORD, and 2FA on."""
    deps.otp.enabled.add(account.id)
    with writing(deps.database) as connection:
        accounts.set_password_hash(connection, account.id, password_hash, deps.clock())


def trusted(deps, account):
    with reading(deps.database) as connection:
        found = devices.known(connection, account.id, deps.clock(), after="", limit=100)
    return [device for device in found if device.is_trusted(deps.clock())]


# --- what trust is good for -------------------------------------------------------------------------------------------


def test_a_trusted_device_skips_the_code_but_not_the_password(deps, stranger, mia, otp):
    token = trusted_token(stranger, otp, mia)
    assert problem(log_in(stranger, mia, "wrong", device_token=token)) == (401, "invalid_credentials")
    answer = log_in(stranger, mia, device_token=token)
    assert answer.json["status"] == "authenticated"
    assert answer.json["session"]["factors"] == ["password", "trusted_device"]
    assert answer.json["session"]["assurance"] == "aal1"
    assert answer.json["session"]["step_up_until"] is None


@pytest.mark.parametrize("carrier", ["body", "header", "cookie"])
def test_its_token_comes_in_the_body_a_header_or_a_cookie(app, stranger, mia, otp, carrier):
    token = trusted_token(stranger, otp, mia)
    browser = app.test_client()
    body = {"email": mia.email, "password": auth.PASSWORD}
    if carrier == "cookie":
        browser.set_cookie("latchkey_device", token)  # as an earlier release called it
    headers = {"X-Device-Token": token} if carrier == "header" else {}
    answer = browser.post(
        "/v1/login", json=body | ({"device_token": token} if carrier == "body" else {}), headers=headers
    )
    assert answer.json["status"] == "authenticated"


def test_every_marked_call_of_the_app_is_in_our_list(app):
    """One that is new must be added, and so be tested below."""
    marked = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if "step-up" in str(_manual_doc(app, rule.endpoint, method))
        and "/support" not in rule.rule  # test_support.py has those
    }
    places = {"account": "<id:account_id>", "check": "<id:check_id>"}
    assert marked == {(method, path.format(**places)) for method, path, _ in MARKED}


def _manual_doc(app, endpoint, method):
    view = app.view_functions[endpoint]
    return getattr(view, "_apidoc", {}).get("manual_doc", {}).get("description", "")


@pytest.mark.parametrize(("method", "path", "body"), MARKED)
def test_its_session_makes_no_marked_call(deps, api, stranger, otp, owner, password_hash, method, path, body):
    give_password(deps, owner, password_hash)
    token = trusted_token(stranger, otp, owner)
    caller = api()
    caller.token = log_in(stranger, owner, device_token=token).json["token"]
    answer = caller.call(method, path.format(account=owner.id, check="idc_1"), body)
    assert problem(answer) == (403, "step_up_required")
    assert otp.enabled == {owner.id}


def test_its_session_can_step_up(api, stranger, mia, otp):
    token = trusted_token(stranger, otp, mia)
    answer = log_in(stranger, mia, device_token=token)
    caller = api()
    caller.token = answer.json["token"]
    otp.expect(mia.id, "step_up", answer.json["session"]["id"], factor="totp")
    renewed = caller.post("/v1/reauthenticate", {"password": auth.PASSWORD, "code": "424242"}).json
    assert renewed["assurance"] == "aal2"
    assert caller.post("/v1/two-factor/recovery-codes").status_code == 200


def test_its_session_is_no_second_factor_for_support(api, stranger, sam, otp, deps, password_hash):
    give_password(deps, sam, password_hash)
    token = trusted_token(stranger, otp, sam)
    caller = api()
    caller.token = log_in(stranger, sam, device_token=token).json["token"]
    assert problem(caller.get("/v1/support/accounts?query=ann")) == (403, "second_factor_required")


# --- what is not trusted ----------------------------------------------------------------------------------------------


def test_another_accounts_device_does_not_skip(stranger, mia, eve, otp):
    token = trusted_token(stranger, otp, eve)
    assert needs_a_code(log_in(stranger, mia, device_token=token))


@pytest.mark.parametrize("token", ["", "x", "' OR 1=1 --", "A" * 43])
def test_a_made_up_token_does_not_skip(stranger, mia, otp, token):
    trusted_token(stranger, otp, mia)
    assert needs_a_code(log_in(stranger, mia, device_token=token))


def test_the_stored_digest_is_no_token(deps, stranger, mia, otp):
    token = trusted_token(stranger, otp, mia)
    with reading(deps.database) as connection:
        (row,) = connection.execute(table.select())
    assert token not in repr(row)
    assert needs_a_code(log_in(stranger, mia, device_token=row.token_digest))


def test_a_revoked_device_does_not_skip(deps, api, stranger, mia, otp):
    token = trusted_token(stranger, otp, mia)
    (device,) = trusted(deps, mia)
    assert api(mia).delete(f"/v1/trusted-devices/{device.id}").status_code == 204
    assert needs_a_code(log_in(stranger, mia, device_token=token))


def test_trust_ends_after_thirty_days_however_often_it_was_used(stranger, mia, otp, clock):
    token = trusted_token(stranger, otp, mia)
    clock.turn(days=30, seconds=-1)
    assert not needs_a_code(log_in(stranger, mia, device_token=token))
    clock.turn(seconds=1)
    assert needs_a_code(log_in(stranger, mia, device_token=token))


def test_a_device_that_did_not_ask_for_trust_is_only_known(app, mia, otp):
    browser = app.test_client()
    body = {"email": mia.email, "password": auth.PASSWORD}
    challenge_id = browser.post("/v1/login", json=body).json["challenge"]["id"]
    otp.expect(mia.id, "login", challenge_id)
    browser.post(f"/v1/login/{challenge_id}/verify", json={"code": "424242"})
    known = device_cookie(browser, mia).value
    browser.post("/v1/logout")
    assert needs_a_code(browser.post("/v1/login", json=body))
    assert device_cookie(browser, mia).value == known


@pytest.mark.parametrize("remember", ["true", "yes", None, [True]])
def test_trust_takes_a_plain_true(deps, stranger, mia, otp, remember):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id)
    assert problem(verify(stranger, challenge_id, remember_device=remember)) == (422, "validation_failed")
    assert trusted(deps, mia) == []


def test_with_2fa_off_there_is_nothing_to_skip(deps, stranger, tom):
    assert log_in(stranger, tom).json["session"]["factors"] == ["password"]
    assert trusted(deps, tom) == []


# --- how trust ends ---------------------------------------------------------------------------------------------------


def _change_password(deps, account, session, token):
    password_change.set_new(deps, CLIENT, account, Acting(session, token), "nine dry badgers hum softly")


def _disable(deps, account, session, token):
    two_factor.disable(deps, account, Acting(session, token))


def _enable(deps, account, session, token):
    deps.otp.expect(account.id, "enrollment", f"enr_{account.id}")
    two_factor.confirm(deps, account, Acting(session, token), f"enr_{account.id}", "424242", "en")


def _apply_reset(deps, account, _session, _token):
    message = TwoFactorResetApplied(id="evt_1", occurred_at=deps.clock(), account_id=account.id, reset_id="rst_1")
    events.handle(deps, message)


CHANGES = [_change_password, _disable, _enable, _apply_reset]


@pytest.mark.parametrize("change", CHANGES)
def test_no_trust_survives_a_change_of_what_it_stood_on(deps, stranger, mia, eve, otp, clock, change):
    token, others = trusted_token(stranger, otp, mia), trusted_token(stranger, otp, eve)
    clock.turn(seconds=5)
    change(deps, mia, *sign_in(deps, mia))
    otp.enabled.add(mia.id)
    with reading(deps.database) as connection:
        assert devices.by_tokens(connection, mia.id, [token], deps.clock()) is None
    assert not needs_a_code(log_in(stranger, eve, device_token=others))


# --- how it is kept ---------------------------------------------------------------------------------------------------


def test_new_trust_is_told_and_stands_in_the_timeline(deps, stranger, mia, otp):
    complete(stranger, otp, mia)
    told = len(notices_in(deps))
    trusted_token(stranger, otp, mia)
    assert {notice.recipient for notice in notices_in(deps)[told:]} == {PHONE.e164, mia.email}
    row = next(row for row in timeline_of(deps, mia) if row.type == "trusted_device.added")
    (device,) = trusted(deps, mia)
    assert row.details["device_id"] == device.id
    assert device.trusted_until == deps.clock() + limits.TRUSTED_DEVICE_LIFE


def test_trusting_a_known_browser_replaces_its_token(deps, app, mia, otp):
    browser = app.test_client()
    body = {"email": mia.email, "password": auth.PASSWORD}

    def complete_here(*, remember):
        challenge_id = browser.post("/v1/login", json=body).json["challenge"]["id"]
        otp.expect(mia.id, "login", challenge_id)
        browser.post(f"/v1/login/{challenge_id}/verify", json={"code": "424242", "remember_device": remember})
        return device_cookie(browser, mia).value

    known = complete_here(remember=False)
    renewed = complete_here(remember=True)
    assert renewed != known
    with reading(deps.database) as connection:
        assert devices.by_tokens(connection, mia.id, [known], deps.clock()) is None
        assert devices.by_tokens(connection, mia.id, [renewed], deps.clock()).is_trusted(deps.clock())


def test_the_device_cookie_lives_as_long_as_the_device_and_is_not_in_the_body(app, mia, otp):
    browser = app.test_client()
    body = {"email": mia.email, "password": auth.PASSWORD}
    challenge_id = browser.post("/v1/login", json=body).json["challenge"]["id"]
    otp.expect(mia.id, "login", challenge_id)
    answer = browser.post(f"/v1/login/{challenge_id}/verify", json={"code": "424242", "remember_device": True})
    cookie = device_cookie(browser, mia)
    assert (cookie.max_age, cookie.http_only, cookie.same_site, cookie.path) == (90 * 86400, True, "Lax", "/")
    assert cookie.value not in answer.text
    assert "device_token" not in answer.json


def test_the_list_has_the_accounts_own_devices_and_no_token(api, stranger, mia, eve, otp, clock):
    token = trusted_token(stranger, otp, mia)
    trusted_token(stranger, otp, eve)
    answer = api(mia).get("/v1/trusted-devices")
    (item,) = answer.json["items"]
    assert set(item) == {"id", "label", "current", "created_at", "last_used_at", "trusted_until", "expires_at"}
    assert item["expires_at"] == item["trusted_until"] == "2026-12-24T05:00:00.000000Z"
    assert token not in answer.text
    clock.turn(days=30)
    (item,) = api(mia).get("/v1/trusted-devices").json["items"]
    assert (item["trusted_until"], item["expires_at"]) == (None, "2027-02-22T05:00:00.000000Z")
    clock.turn(days=60)
    assert api(mia).get("/v1/trusted-devices").json == {"items": [], "next_cursor": None}


def test_the_list_comes_in_pages(api, stranger, mia, otp):
    for _ in range(3):
        trusted_token(stranger, otp, mia)
    caller, seen, cursor = api(mia), [], ""
    for expected in (2, 1):
        page = caller.get(f"/v1/trusted-devices?limit=2{cursor}").json
        assert len(page["items"]) == expected
        seen += [item["id"] for item in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert seen == sorted(set(seen))


def test_nobody_revokes_another_accounts_device(deps, api, stranger, mia, eve, otp):
    token = trusted_token(stranger, otp, mia)
    (device,) = trusted(deps, mia)
    assert problem(api(eve).delete(f"/v1/trusted-devices/{device.id}")) == (404, "not_found")
    assert api(eve).delete("/v1/trusted-devices").status_code == 204
    assert not needs_a_code(log_in(stranger, mia, device_token=token))


def test_revoking_all_revokes_each_of_them(deps, api, stranger, mia, otp, clock):
    tokens = [trusted_token(stranger, otp, mia) for _ in range(2)]
    caller = api(mia)
    clock.turn(seconds=1)
    assert caller.delete("/v1/trusted-devices").status_code == 204
    row = timeline_of(deps, mia)[-1]
    assert (row.type, row.details) == ("trusted_device.revoked", {"devices": 2})
    assert all(needs_a_code(log_in(stranger, mia, device_token=token)) for token in tokens)


@pytest.mark.parametrize("which", ["one", "all"])
def test_a_device_whose_sessions_otp_does_not_end_in_time_is_not_called_ended(deps, api, stranger, mia, otp, which):
    token = trusted_token(stranger, otp, mia)
    session = log_in(stranger, mia, device_token=token).json["session"]["id"]
    (device,) = trusted(deps, mia)
    otp.ending_refusal = Unavailable("otp")
    path = f"/v1/trusted-devices/{device.id}" if which == "one" else "/v1/trusted-devices"
    assert problem(api(mia).delete(path)) == (503, "service_unavailable")
    assert trusted(deps, mia) == []
    assert session in {event.session_id for event in events_in(deps) if event.TYPE == "session.ended"}


def test_a_device_that_is_ended_again_stays_ended_and_leaves_one_entry(deps, api, stranger, mia, eve, otp):
    trusted_token(stranger, otp, mia)
    (device,) = trusted(deps, mia)
    caller, path = api(mia), f"/v1/trusted-devices/{device.id}"
    assert [caller.delete(path).status_code for _ in range(3)] == [204, 204, 204]
    assert types_of(deps, mia).count("trusted_device.revoked") == 1
    assert trusted(deps, mia) == []
    assert problem(api(eve).delete(path)) == (404, "not_found")
    assert problem(caller.delete("/v1/trusted-devices/dev_none")) == (404, "not_found")


def test_a_repeat_ends_in_otp_what_the_first_call_could_not(deps, api, stranger, mia, otp):
    token = trusted_token(stranger, otp, mia)
    log_in(stranger, mia, device_token=token)
    (device,) = trusted(deps, mia)
    caller, path = api(mia), f"/v1/trusted-devices/{device.id}"
    otp.ending_refusal = Unavailable("otp")
    assert problem(caller.delete(path)) == (503, "service_unavailable")
    otp.ending_refusal = None
    assert caller.delete(path).status_code == 204


def test_a_browser_is_remembered_in_words_of_ours(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia, headers={"User-Agent": "x" * 5000})
    otp.expect(mia.id, "login", challenge_id)
    body = {"code": "424242", "remember_device": True}
    named = {"User-Agent": "=1+1 (Windows) Firefox/145.0" + "y" * 5000}
    stranger.post(f"/v1/login/{challenge_id}/verify", body, headers=named)
    (device,) = trusted(deps, mia)
    assert device.label == "Firefox on Windows"


def test_use_is_noted(deps, stranger, mia, otp, clock):
    token = trusted_token(stranger, otp, mia)
    clock.turn(days=1)
    log_in(stranger, mia, device_token=token)
    (device,) = trusted(deps, mia)
    assert device.last_used_at - device.created_at == timedelta(days=1)
