import threading
from datetime import timedelta

import pytest

from services.auth import events, limits, password_change, session_store, two_factor
from services.auth.deps import subject
from services.auth.domain.session import Factor
from services.auth.otp_client import CodeRefused, Verified, _refusal
from services.auth.store import devices
from shared import budgets, delivery
from shared.budgets import Charge
from shared.database import reading, writing
from shared.delivery import DeliveryStatus
from shared.messages import SendSmsCode, TwoFactorResetApplied
from shared.problems import Refusal
from tests.support import auth
from tests.support.auth import CLIENT, NOW, PHONE, notices_in, sign_in, timeline_of, types_of
from tests.support.sign_in import challenge, complete, log_in, problem, trusted_token, verify, who_is

IP = "127.0.0.1"
NEW_PASSWORD = "nine dry badgers hum softly"


@pytest.fixture
def stranger(api):
    return api()


@pytest.fixture
def hashed(hashing, monkeypatch):
    """The hashes that a password was compared with."""
    compared, real = [], hashing.verify

    def verify_and_note(encoded, password):
        compared.append(encoded)
        return real(encoded, password)

    monkeypatch.setattr(hashing, "verify", verify_and_note)
    return compared


def sessions(deps, account):
    return session_store.sessions_of(deps.redis, account.id)


def spend(deps, rate, subject, tries):
    for _ in range(tries):
        assert budgets.take(deps.redis, Charge(rate, subject)).allowed


def spent(deps, rate, subject):
    keys = Charge(rate, subject).keys()
    return [int(deps.redis.get(key) or 0) for key in keys]


def trusted_devices(deps, account):
    with reading(deps.database) as connection:
        return devices.trusted(connection, account.id, deps.clock(), after="", limit=10)


def ip_of(deps):
    return subject(deps, "ip", IP)


def email_of(deps, account):
    return subject(deps, "email", account.email)


# --- the password -----------------------------------------------------------------------------------------------------


def test_with_2fa_off_the_password_makes_a_session(deps, api, stranger, tom):
    answer = log_in(stranger, tom)
    assert answer.status_code == 200
    assert answer.json["status"] == "authenticated"
    assert answer.json["session"]["factors"] == ["password"]
    assert answer.json["session"]["assurance"] == "aal1"
    assert answer.json["session"]["step_up_until"] == "2026-11-24T05:10:00.000000Z"
    assert answer.json["session"]["expires_at"] == "2026-11-24T17:00:00.000000Z"
    assert "challenge" not in answer.json
    assert who_is(api, answer.json["token"]).json["account"]["id"] == tom.id
    (row,) = timeline_of(deps, tom)
    assert (row.type, row.ip) == ("session.started", IP)
    assert row.details["factors"] == ["password"]


def test_with_2fa_on_the_password_makes_a_challenge_and_no_session(deps, stranger, mia):
    answer = log_in(stranger, mia, transport="cookie")
    assert answer.status_code == 200
    assert set(answer.json) == {"status", "challenge"}
    assert answer.json["status"] == "second_factor_required"
    assert answer.json["challenge"] == {
        "id": answer.json["challenge"]["id"],
        "expires_at": "2026-11-24T05:10:00.000000Z",
        "methods": ["totp", "sms", "recovery_code"],
        "sms": {"available": True, "phone_hint": PHONE.masked()},
    }
    assert "Set-Cookie" not in answer.headers
    assert sessions(deps, mia) == []
    assert PHONE.e164 not in answer.text


def test_only_what_the_account_has_is_offered(stranger, make_account, otp, password_hash):
    bare = make_account("bare@example.com", password_hash=password_hash)
    otp.enabled.add(bare.id)
    otp.recovery_codes[bare.id] = 0
    offered = log_in(stranger, bare).json["challenge"]
    assert offered["methods"] == ["totp"]
    assert offered["sms"] == {"available": False, "phone_hint": None}


def test_the_case_of_the_address_is_open(stranger, tom):
    assert log_in(stranger, " TOM@Example.COM ").status_code == 200


def test_an_unknown_account_and_a_wrong_password_answer_alike(stranger, mia, tom):
    answers = [
        log_in(stranger, "nobody@example.com", "wrong"),
        log_in(stranger, tom, "wrong"),
        log_in(stranger, mia, "wrong"),
        log_in(stranger, mia, "wrong", device_token="no device's"),
    ]
    assert {problem(answer) for answer in answers} == {(401, "invalid_credentials")}
    assert len({answer.text for answer in answers}) == 1
    headers = [{name: value for name, value in answer.headers if name != "X-Request-Id"} for answer in answers]
    assert all(one == headers[0] for one in headers)


@pytest.mark.parametrize("who", ["mia@example.com", "nobody@example.com"])
def test_a_known_and_an_unknown_account_cost_one_hash_of_the_same_kind(stranger, mia, hashed, who):
    log_in(stranger, "warm.up@example.com", "wrong")
    hashed.clear()
    log_in(stranger, who, "wrong")
    (encoded,) = hashed
    assert encoded.split("$")[1:4] == ["argon2id", "v=19", "m=19456,t=2,p=1"]


def test_a_wrong_password_stands_in_the_owners_timeline(deps, stranger, tom):
    log_in(stranger, tom, "wrong")
    (row,) = timeline_of(deps, tom)
    assert (row.type, row.ip, row.details) == ("password.refused", IP, {})


def test_no_answer_holds_the_password_or_its_hash(stranger, tom, password_hash):
    for answer in (log_in(stranger, tom), log_in(stranger, tom, "wrong horse")):
        assert password_hash not in answer.text
        assert "wrong horse" not in answer.text
        assert auth.PASSWORD not in answer.text


@pytest.mark.parametrize(
    "members",
    [
        {"email": "tom\x00@example.com"},
        {"email": "\ud800@example.com"},
        {"email": ["tom@example.com"]},
        {"email": "x" * 255},
        {"password": "x" * 129},
        {"password": ""},
        {"password": 7},
        {"transport": "header"},
        {"device_token": "x" * 101},
        {"admin": True},
    ],
)
def test_hostile_members_are_refused_before_any_hash(stranger, tom, hashed, members):
    body = {"email": tom.email, "password": "wrong", "transport": "bearer", **members}
    assert problem(stranger.post("/v1/login", body)) == (422, "validation_failed")
    assert hashed == []


# --- budgets of the password ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["tom@example.com", "nobody@example.com"])
def test_an_account_takes_ten_wrong_passwords_and_then_not_even_the_right_one(stranger, tom, who, hashed):
    for _ in range(10):
        assert problem(log_in(stranger, who, "wrong")) == (401, "invalid_credentials")
    hashed.clear()
    refused = log_in(stranger, who)
    assert problem(refused) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    assert refused.json["retry_after"] == int(refused.headers["Retry-After"])
    assert hashed == []


def test_another_spelling_of_the_address_is_the_same_budget(stranger, tom):
    spellings = ["tom@example.com", "TOM@EXAMPLE.COM", " tom@example.com ", "ｔom@example.com", "Tom@Example.com"]
    for spelling in spellings * 2:
        assert log_in(stranger, spelling, "wrong").status_code == 401
    assert log_in(stranger, tom).status_code == 429


def test_a_right_password_costs_nothing(deps, stranger, tom):
    log_in(stranger, tom, "wrong")
    for _ in range(12):
        assert log_in(stranger, tom).status_code == 200
    assert spent(deps, limits.LOGIN_EMAIL, email_of(deps, tom)) == [1, 1]


def test_a_right_password_gives_back_its_own_try_and_nobody_elses(deps, stranger, tom):
    spend(deps, limits.LOGIN_IP, ip_of(deps), 58)
    spend(deps, limits.LOGIN_EMAIL, email_of(deps, tom), 9)
    assert log_in(stranger, tom).status_code == 200
    assert spent(deps, limits.LOGIN_IP, ip_of(deps)) == [58, 58]
    assert spent(deps, limits.LOGIN_EMAIL, email_of(deps, tom)) == [9, 9]


def test_an_ip_is_limited_over_all_accounts(deps, stranger, tom, mia):
    spend(deps, limits.LOGIN_IP, ip_of(deps), 59)
    assert log_in(stranger, mia, "wrong").status_code == 401
    assert problem(log_in(stranger, tom)) == (429, "too_many_requests")


def test_a_try_that_the_ip_has_no_room_for_costs_the_account_nothing(deps, stranger, tom):
    spend(deps, limits.LOGIN_IP, ip_of(deps), 60)
    log_in(stranger, tom, "wrong")
    assert spent(deps, limits.LOGIN_EMAIL, email_of(deps, tom)) == [0, 0]


def test_a_stranger_who_spends_the_accounts_budget_does_not_lock_out_its_known_device(deps, stranger, mia, otp):
    token = trusted_token(stranger, otp, mia)
    spend(deps, limits.LOGIN_EMAIL, email_of(deps, mia), 10)
    assert log_in(stranger, mia).status_code == 429
    assert log_in(stranger, mia, device_token=token).json["status"] == "authenticated"


def test_a_known_device_has_a_budget_of_its_own_and_it_ends(deps, stranger, mia, otp):
    token = trusted_token(stranger, otp, mia)
    for _ in range(10):
        assert log_in(stranger, mia, "wrong", device_token=token).status_code == 401
    assert log_in(stranger, mia, device_token=token).status_code == 429
    assert spent(deps, limits.LOGIN_EMAIL, email_of(deps, mia)) == [0, 0]
    assert log_in(stranger, mia).status_code == 200


def test_another_accounts_device_opens_no_budget_here(deps, stranger, mia, otp, make_account, password_hash):
    eve = make_account("eve@example.com", password_hash=password_hash)
    otp.enabled.add(eve.id)
    token = trusted_token(stranger, otp, eve)
    spend(deps, limits.LOGIN_EMAIL, email_of(deps, mia), 10)
    assert log_in(stranger, mia, "wrong", device_token=token).status_code == 429


def test_neither_address_nor_ip_stands_in_a_key(deps, stranger, mia):
    challenge_id = challenge(stranger, mia)
    verify(stranger, challenge_id)
    log_in(stranger, mia, "wrong")
    assert deps.redis.keys("budget:*")
    assert not any(IP in key or "mia" in key for key in deps.redis.keys("*"))


# --- the second factor ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", ["totp", "sms", "recovery_code"])
def test_a_right_code_makes_a_session_that_says_which(deps, api, stranger, mia, otp, factor):
    answer = complete(stranger, otp, mia, factor=factor)
    assert answer.json["status"] == "authenticated"
    assert answer.json["factor"] == factor
    assert answer.json["session"]["factors"] == ["password", factor]
    assert answer.json["session"]["assurance"] == "aal2"
    assert "device_token" not in answer.json
    assert who_is(api, answer.json["token"]).status_code == 200
    assert timeline_of(deps, mia)[-1].details["factors"] == ["password", factor]


def test_a_challenge_serves_once(stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id)
    assert verify(stranger, challenge_id).status_code == 200
    otp.expect(mia.id, "login", challenge_id)
    assert problem(verify(stranger, challenge_id)) == (410, "challenge_expired")
    assert otp.codes  # and otp was not asked


def test_one_challenge_makes_one_session_however_many_right_codes_meet_it(deps, app, api, mia, otp):
    challenge_id = challenge(api(), mia)
    ready = threading.Barrier(8)

    def slow(*_args):
        ready.wait(10)  # all of them hold the challenge before one claims it
        return Verified("totp")

    otp.verify = slow
    answers = [None] * 8

    def run(number):
        answers[number] = verify(api(), challenge_id)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 7
    assert len(sessions(deps, mia)) == 1


def test_a_challenge_lives_ten_minutes(deps, stranger, mia, otp, clock):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id)
    assert 0 < deps.redis.ttl(f"auth:challenge:{challenge_id}") <= 600
    clock.turn(seconds=600)
    for answer in (verify(stranger, challenge_id), stranger.get(f"/v1/login/{challenge_id}")):
        assert problem(answer) == (410, "challenge_expired")
    clock.turn(seconds=-1)
    assert verify(stranger, challenge_id).status_code == 200


def test_an_unknown_challenge_is_one_that_has_expired(stranger):
    assert problem(verify(stranger, "chl_none")) == (410, "challenge_expired")
    assert problem(stranger.post("/v1/login/chl_none/sms")) == (410, "challenge_expired")
    assert problem(stranger.get("/v1/login/chl_none")) == (410, "challenge_expired")
    assert problem(verify(stranger, "chl%00")) == (404, "not_found")


def test_a_code_for_another_challenge_account_or_purpose_is_wrong_here(stranger, mia, otp, make_account, password_hash):
    eve = make_account("eve@example.com", password_hash=password_hash)
    otp.enabled.add(eve.id)
    other, here = challenge(stranger, mia), challenge(stranger, mia)
    otp.expect(mia.id, "login", other)
    otp.expect(mia.id, "step_up", here)
    otp.expect(mia.id, "phone_verification", here)
    otp.expect(eve.id, "login", here)
    assert problem(verify(stranger, here)) == (401, "invalid_passcode")


def test_a_wrong_code_leaves_the_challenge_for_another_try(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id)
    assert problem(verify(stranger, challenge_id, "000000")) == (401, "invalid_passcode")
    assert sessions(deps, mia) == []
    assert verify(stranger, challenge_id).status_code == 200


@pytest.mark.parametrize("reason", ["wrong", "replayed", "expired"])
def test_why_a_code_was_refused_is_ours_to_know(stranger, mia, otp, reason):
    challenge_id = challenge(stranger, mia)
    answer = {"status": 401, "code": "invalid_passcode", "title": "t", "detail": "d", "type": "x"}
    otp.refusal = _refusal(401, {**answer, "reason": reason, "recent_failures": 2, "clock_skew_seconds": -90})
    assert (otp.refusal.reason, otp.refusal.recent_failures) == (reason, 2)
    refused = verify(stranger, challenge_id)
    assert set(refused.json) == {"type", "title", "status", "detail", "code", "clock_skew_seconds"}
    assert refused.json["clock_skew_seconds"] == -90
    assert reason not in refused.text.replace("used before", "")


SPELLINGS = ["٤٢٤٢٤٢", "４２４２４２", "42_424", "+42424", " 424242", "424242 ", "4242421", "42424", "", "424242\n"]


@pytest.mark.parametrize("code", [*SPELLINGS, None, 424242, ["424242"], "4242\x0042", "e" * 41])
def test_another_spelling_of_a_code_never_reaches_otp(stranger, mia, otp, code):
    challenge_id = challenge(stranger, mia)
    otp.verify = None
    assert problem(verify(stranger, challenge_id, code)) == (422, "validation_failed")


def test_tries_of_codes_are_limited_by_ip_and_a_right_password_refunds_none(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    for _ in range(3):
        verify(stranger, challenge_id, "000000")
    complete(stranger, otp, mia)
    assert spent(deps, limits.VERIFY_IP, ip_of(deps)) == [4, 4]  # not even a right code does


def test_a_new_challenge_is_no_new_budget(deps, stranger, mia, otp):
    first = challenge(stranger, mia)
    spend(deps, limits.VERIFY_IP, ip_of(deps), 59)
    assert verify(stranger, first, "000000").status_code == 401
    second = challenge(stranger, mia)
    otp.verify = None  # nobody asks it
    refused = verify(stranger, second)
    assert problem(refused) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) > 0
    assert session_store.get_challenge(deps.redis, second) is not None


def test_what_otp_refuses_is_handed_on(stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    for status, code in ((429, "second_factor_locked"), (429, "too_many_requests")):
        otp.refusal = Refusal(code, retry_after_seconds=60)
        answer = verify(stranger, challenge_id)
        assert problem(answer) == (status, code)
        assert answer.headers["Retry-After"] == "60"


def test_otp_counts_a_known_device_apart(stranger, mia, otp, deps):
    token = trusted_token(stranger, otp, mia)
    (device,) = trusted_devices(deps, mia)
    with writing(deps.database) as connection:
        devices.trust(connection, device.id, deps.clock(), deps.clock())  # from here it is only known
    seen = []
    otp.verify = lambda *args: seen.append(args) or Verified("totp")
    for sent in (None, f"{token}x", token):
        verify(stranger, challenge(stranger, mia, device_token=sent))
    assert [device_id for *_, device_id in seen] == [None, None, device.id]


# --- the owner hears of it --------------------------------------------------------------------------------------------


def fail(stranger, otp, challenge_id, counts):
    for count in counts:
        otp.refusal = CodeRefused(reason="wrong", recent_failures=count)
        assert verify(stranger, challenge_id, "000000").status_code == 401
    otp.refusal = None


def test_the_third_wrong_code_of_a_day_is_told_and_then_the_tenth(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    fail(stranger, otp, challenge_id, [1, 2])
    assert notices_in(deps) == []
    fail(stranger, otp, challenge_id, [3, 4, 5])
    sms, email = notices_in(deps)
    assert (sms.recipient, email.recipient) == (PHONE.e164, mia.email)
    assert IP in email.body
    assert types_of(deps, mia) == ["second_factor.failed"]
    fail(stranger, otp, challenge_id, [6, 7, 8, 9, 10, 11])
    assert len(notices_in(deps)) == 4


def test_a_throttled_try_is_not_told(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    otp.refusal = Refusal("too_many_requests", retry_after_seconds=60)
    for _ in range(4):
        verify(stranger, challenge_id)
    assert notices_in(deps) == []


# --- what changes under way -------------------------------------------------------------------------------------------


def change_password(deps, account):
    session, _ = sign_in(deps, account)
    password_change.change(deps, CLIENT, account, session, NEW_PASSWORD)
    session_store.end(deps.redis, account.id, session.id)


def disable(deps, account):
    session, _ = sign_in(deps, account)
    two_factor.disable(deps, account, session)
    session_store.end(deps.redis, account.id, session.id)


def enable(deps, account):
    session, token = sign_in(deps, account)
    deps.otp.expect(account.id, "enrollment", f"enr_{account.id}")
    two_factor.confirm(deps, account, session, token, f"enr_{account.id}", "424242")
    session_store.end(deps.redis, account.id, session.id)


def apply_reset(deps, account):
    deps.otp.enabled.discard(account.id)
    events.handle(
        deps, TwoFactorResetApplied(id="evt_1", occurred_at=deps.clock(), account_id=account.id, reset_id="rst_1")
    )


CHANGES = [change_password, disable, enable, apply_reset]


@pytest.mark.parametrize("change", CHANGES)
def test_a_challenge_from_before_the_change_makes_no_session(deps, stranger, mia, otp, change):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id)
    change(deps, mia)
    assert problem(verify(stranger, challenge_id)) == (410, "challenge_expired")
    assert sessions(deps, mia) == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_while_otp_answers_voids_the_login(deps, stranger, mia, otp, change):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id)
    otp.after_verify = lambda: change(deps, mia)
    assert problem(verify(stranger, challenge_id, remember_device=True)) == (410, "challenge_expired")
    assert sessions(deps, mia) == []
    assert trusted_devices(deps, mia) == []


def test_a_password_that_changes_while_the_old_one_is_hashed_makes_no_session(
    deps, stranger, tom, hashing, monkeypatch
):
    real = hashing.verify

    def verify_then_change(encoded, password):
        matches = real(encoded, password)
        change_password(deps, tom)
        return matches

    monkeypatch.setattr(hashing, "verify", verify_then_change)
    assert problem(log_in(stranger, tom)) == (401, "invalid_credentials")
    assert sessions(deps, tom) == []


@pytest.mark.parametrize("change", [change_password, enable])
def test_a_change_while_otp_tells_the_state_makes_no_session(deps, stranger, tom, otp, change):
    def state_then_change(account_id):
        known = type(otp).state(otp, account_id)
        del otp.state
        change(deps, tom)
        return known

    otp.state = state_then_change
    assert problem(log_in(stranger, tom)) == (410, "challenge_expired")
    assert sessions(deps, tom) == []


def test_what_ended_a_login_does_not_end_the_next_one(deps, stranger, mia, otp):
    disable(deps, mia)
    enable(deps, mia)
    complete(stranger, otp, mia)
    assert len(sessions(deps, mia)) == 1


# --- outages ----------------------------------------------------------------------------------------------------------


def down(answer, part):
    assert problem(answer) == (503, "service_unavailable")
    assert answer.json["part"] == part
    assert int(answer.headers["Retry-After"]) >= 1


def test_otp_down_is_503_and_never_a_pass(deps, stranger, mia, tom, otp):
    token = trusted_token(stranger, otp, mia)
    session_store.end_all(deps.redis, mia.id)
    challenge_id = challenge(stranger, mia)
    otp.go_down()
    down(log_in(stranger, mia), "otp")
    down(log_in(stranger, mia, device_token=token), "otp")
    down(log_in(stranger, tom), "otp")
    down(verify(stranger, challenge_id), "otp")
    assert sessions(deps, mia) == sessions(deps, tom) == []
    otp.refusal = None
    otp.expect(mia.id, "login", challenge_id)
    assert verify(stranger, challenge_id).status_code == 200  # the outage cost the challenge nothing


def test_redis_down_is_503_and_never_a_pass(stranger, mia, tom, redis_server):
    challenge_id = challenge(stranger, mia)
    redis_server.connected = False
    down(log_in(stranger, tom), "redis")
    down(log_in(stranger, tom, "wrong"), "redis")
    down(verify(stranger, challenge_id), "redis")


def test_sql_down_is_503_and_never_a_pass(deps, stranger, tom):
    with deps.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE accounts RENAME TO gone")
    down(log_in(stranger, tom), "sql")
    down(log_in(stranger, "nobody@example.com"), "sql")


# --- how the session travels ------------------------------------------------------------------------------------------


def test_a_cookie_login_has_its_token_in_the_cookie_only(deps, app, tom):
    browser = app.test_client()
    body = {"email": tom.email, "password": auth.PASSWORD}
    answer = browser.post("/v1/login", json=body)
    assert "token" not in answer.json
    assert "device_token" not in answer.json
    (cookie,) = answer.headers.getlist("Set-Cookie")
    token = cookie.partition("=")[2].partition(";")[0]
    assert len(token) == 43  # 256 bits
    assert token not in answer.text
    assert {part.strip() for part in cookie.split(";")[1:]} == {"HttpOnly", "Path=/", "SameSite=Lax"}
    assert browser.get("/v1/session").json["account"]["id"] == tom.id


def test_a_bearer_login_sets_no_cookie(stranger, tom, mia, otp):
    assert "Set-Cookie" not in log_in(stranger, tom).headers
    assert "Set-Cookie" not in complete(stranger, otp, mia, remember=True).headers


def test_the_session_after_the_login_is_not_the_one_before_it(deps, app, tom, mia, otp):
    _, planted = sign_in(deps, tom)
    browser = app.test_client()
    browser.set_cookie("latchkey_session", planted)
    challenge_id = browser.post("/v1/login", json={"email": mia.email, "password": auth.PASSWORD}).json["challenge"][
        "id"
    ]
    otp.expect(mia.id, "login", challenge_id)
    browser.post(f"/v1/login/{challenge_id}/verify", json={"code": "424242"})
    token = browser.get_cookie("latchkey_session").value
    assert token != planted
    assert session_store.find(deps.redis, token).account_id == mia.id
    assert session_store.find(deps.redis, planted).account_id == tom.id


def test_logging_out_ends_the_session_and_forgets_the_cookie(deps, app, tom):
    browser = app.test_client()
    browser.post("/v1/login", json={"email": tom.email, "password": auth.PASSWORD})
    token = browser.get_cookie("latchkey_session").value
    assert browser.post("/v1/logout").status_code == 204
    assert browser.get_cookie("latchkey_session") is None
    assert session_store.find(deps.redis, token) is None
    assert types_of(deps, tom) == ["session.started", "session.ended"]
    assert problem(browser.post("/v1/logout")) == (401, "not_authenticated")


# --- a code by SMS ----------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("change", CHANGES)
def test_a_login_that_a_change_has_voided_sends_no_sms(deps, stranger, mia, otp, publisher, change):
    challenge_id = challenge(stranger, mia)
    change(deps, mia)
    assert problem(stranger.post(f"/v1/login/{challenge_id}/sms")) == (410, "challenge_expired")
    assert problem(stranger.get(f"/v1/login/{challenge_id}")) == (410, "challenge_expired")
    assert (otp.sent_to, publisher.messages) == ([], [])


def test_the_waiting_page_sees_what_became_of_the_last_sms(deps, stranger, mia, clock):
    challenge_id = challenge(stranger, mia)
    assert stranger.get(f"/v1/login/{challenge_id}").json["delivery"] is None
    sent = stranger.post(f"/v1/login/{challenge_id}/sms").json
    pipeline = deps.redis.pipeline()
    delivery.queue_put(pipeline, sent["message_id"], "sealed", now=clock(), ttl=timedelta(minutes=5))
    pipeline.execute()
    clock.turn(seconds=2)
    delivery.advance(deps.redis, sent["message_id"], DeliveryStatus.FAILED, clock(), reason="too_late")
    waiting = stranger.get(f"/v1/login/{challenge_id}")
    assert waiting.json["status"] == "second_factor_required"
    assert waiting.json["delivery"] == {
        "status": "failed",
        "updated_at": "2026-11-24T05:00:02.000000Z",
        "message_id": sent["message_id"],
        "reference": "BCDF",
        "reason": "too_late",
        "message": "The code expired before it could be sent. Ask for a new one.",
    }
    assert "424242" not in waiting.text
    assert PHONE.e164 not in waiting.text
