import pytest
from sqlalchemy import select

from services.auth import limits
from services.auth.models import timeline
from shared.database import reading
from tests.support import auth
from tests.support.auth import PHONE, timeline_of
from tests.support.otp import counted_statements
from tests.support.sign_in import (
    IP,
    challenge,
    email_of,
    ip_of,
    log_in,
    problem,
    sessions,
    spend,
    spent,
    trusted_token,
    verify,
    who_is,
)

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
        "methods": ["totp", "sms", "recovery_code", "call"],
        "sms": {"available": True, "phone_hint": PHONE.masked()},
        "call": {"available": True, "phone_hint": PHONE.masked()},
        "one_try": False,
    }
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith("latchkey_challenge=")
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
def test_a_known_and_an_unknown_account_cost_one_hash_of_the_same_kind(stranger, mia, watched, who):
    log_in(stranger, "warm.up@example.com", "wrong")
    watched.compared.clear()
    log_in(stranger, who, "wrong")
    (encoded,) = watched.compared
    assert encoded.split("$")[1:4] == ["argon2id", "v=19", "m=19456,t=2,p=1"]


def test_a_known_and_an_unknown_account_cost_the_same_reads_also_with_a_device_token(deps, stranger, mia):
    read = []
    for who in (mia, "nobody@example.com"):
        log_in(stranger, who, "wrong", device_token="no device's")
        with counted_statements(deps.database) as statements:
            log_in(stranger, who, "wrong", device_token="no device's")
        read.append([" ".join(one.split()[:2]) for one in statements if one.startswith("SELECT")])
    assert len(read[0]) == 2
    assert read[0] == read[1]


def test_a_wrong_password_stands_in_the_owners_timeline(deps, stranger, tom):
    log_in(stranger, tom, "wrong")
    (row,) = timeline_of(deps, tom)
    assert (row.type, row.ip, row.details) == ("password.refused", IP, {})


def test_a_try_at_an_unknown_address_is_recorded_for_no_account_and_without_what_was_typed(deps, stranger, tom):
    for typed in ("Nobody@example.com", "nobody@EXAMPLE.com", "no.one@example.com"):
        log_in(stranger, typed, "wrong")
    with reading(deps.database) as connection:
        rows = connection.execute(select(timeline).where(timeline.c.account_id.is_(None))).all()
    assert [(row.type, row.actor, row.ip) for row in rows] == [("password.refused", "owner", IP)] * 3
    assert not any("example.com" in str(row).lower() for row in rows)
    addresses = [row.details["address"] for row in rows]
    assert (addresses[0] == addresses[1], addresses[0] == addresses[2]) == (True, False)


def test_a_known_and_an_unknown_account_cost_the_same_writes(deps, stranger, tom):
    written = []
    for who in (tom, "nobody@example.com"):
        log_in(stranger, who, "wrong")
        with counted_statements(deps.database) as statements:
            log_in(stranger, who, "wrong")
        written.append([one.partition(" VALUES ")[0] for one in statements if not one.startswith("SELECT")])
    assert any(one.startswith("INSERT") for one in written[0])
    assert written[0] == written[1]


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
        {"password": "x" * 513},
        {"password": ""},
        {"password": 7},
        {"transport": "header"},
        {"device_token": "x" * 101},
        {"admin": True},
    ],
)
def test_hostile_members_are_refused_before_any_hash(stranger, tom, watched, members):
    body = {"email": tom.email, "password": "wrong", "transport": "bearer", **members}
    assert problem(stranger.post("/v1/login", body)) == (422, "validation_failed")
    assert watched.compared == []


# --- budgets of the password ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["tom@example.com", "nobody@example.com"])
def test_an_account_takes_ten_wrong_passwords_and_then_not_even_the_right_one(stranger, tom, who, watched):
    for _ in range(10):
        assert problem(log_in(stranger, who, "wrong")) == (401, "invalid_credentials")
    watched.compared.clear()
    refused = log_in(stranger, who)
    assert problem(refused) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    assert refused.json["retry_after"] == int(refused.headers["Retry-After"])
    assert watched.compared == []


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
