import threading
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from services.auth import challenge_store, guessing_brake, limits, login_records
from services.auth.otp_client import CodeRefused, Verified, _refusal
from services.auth.store import devices
from shared import budgets
from shared.database import writing
from shared.problems import Refusal
from tests.support.auth import PHONE, notices_in, timeline_of, types_of
from tests.support.sign_in import (
    IP,
    challenge,
    complete,
    down,
    ip_of,
    problem,
    sessions,
    spend,
    spent,
    trusted_devices,
    trusted_token,
    verify,
    who_is,
)
from tests.support.threads import at_once


@pytest.mark.parametrize("factor", ["totp", "sms", "recovery_code"])
def test_a_right_code_makes_a_session_that_says_which(deps, api, stranger, mia, otp, factor):
    answer = complete(stranger, otp, mia, factor=factor)
    assert answer.json["status"] == "authenticated"
    assert answer.json["factor"] == factor
    assert answer.json["session"]["factors"] == ["password", factor]
    assert answer.json["session"]["assurance"] == "aal2"
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


@pytest.mark.parametrize("remember", [1, 0, "yes", "true", "off", None, [], {}])
def test_a_device_is_remembered_by_true_and_nothing_like_it(deps, stranger, mia, otp, remember):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id)
    answer = verify(stranger, challenge_id, remember_device=remember)
    assert problem(answer) == (422, "validation_failed")
    assert list(answer.json["errors"]) == ["remember_device"]
    assert otp.codes  # and the code was not used up
    assert trusted_devices(deps, mia) == []


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
    assert challenge_store.get(deps.redis, second) is not None


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
        assert devices.renew(connection, replace(device, trusted_until=deps.clock()), token)  # from here only known
    seen = []
    otp.verify = lambda *args: seen.append(args) or Verified("totp")
    for sent in (None, f"{token}x", token):
        verify(stranger, challenge(stranger, mia, device_token=sent))
    assert [device_id for *_, device_id in seen] == [None, None, device.id]


# --- the owner hears of it --------------------------------------------------------------------------------------------


def fail(stranger, otp, challenge_id, tries):
    for _ in range(tries):
        otp.refusal = CodeRefused(reason="wrong", recent_failures=1)
        assert verify(stranger, challenge_id, "000000").status_code == 401
    otp.refusal = None


def test_every_fifth_wrong_code_is_told(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    told = len(notices_in(deps))
    fail(stranger, otp, challenge_id, 4)
    assert len(notices_in(deps)) == told
    fail(stranger, otp, challenge_id, 1)
    sms, email = notices_in(deps)[told:]
    assert (sms.recipient, email.recipient) == (PHONE.e164, mia.email)
    assert IP in email.body
    assert "5 since our last message" in email.body
    assert types_of(deps, mia) == ["password.accepted", "second_factor.failed"]
    fail(stranger, otp, challenge_id, 4)
    assert types_of(deps, mia).count("second_factor.failed") == 1
    fail(stranger, otp, challenge_id, 1)
    assert types_of(deps, mia).count("second_factor.failed") == 2
    assert len(notices_in(deps)) == told + 4


def test_two_wrong_codes_a_day_are_told_on_the_third_day(deps, api, mia, otp, clock):
    """Neither time nor the owner's everyday sign-in takes back what was counted."""
    told = []
    for _ in range(3):
        fail(api(), otp, challenge(api(), mia), 2)
        told.append(types_of(deps, mia).count("second_factor.failed"))
        complete(api(), otp, mia)
        clock.turn(hours=24)
    assert told == [0, 0, 1]


def test_each_account_has_a_count_of_its_own(deps, stranger, mia, otp, make_account, password_hash):
    other = make_account("max@example.com", password_hash=password_hash)
    otp.enabled.add(other.id)
    fail(stranger, otp, challenge(stranger, mia), 4)
    fail(stranger, otp, challenge(stranger, other), 4)
    assert "second_factor.failed" not in {*types_of(deps, mia), *types_of(deps, other)}


def test_of_many_wrong_codes_at_the_same_moment_the_fifth_is_told(deps, api, mia, otp):
    challenge_id = challenge(api(), mia)
    otp.refusal = CodeRefused(reason="wrong", recent_failures=1)
    said = at_once(9, lambda _: verify(api(), challenge_id, "000000").status_code)
    assert said == [401] * 9
    assert 1 <= types_of(deps, mia).count("second_factor.failed") <= 5
    assert untold(deps, mia) < limits.WRONG_CODES_A_NOTICE


def untold(deps, account):
    return budgets.count(deps.redis, guessing_brake.wrong_codes_of(account.id))


def test_a_wrong_code_beside_a_notice_that_fails_hides_no_fifth(deps, stranger, mia, otp, clock, monkeypatch):
    challenge_id = challenge(stranger, mia)
    fail(stranger, otp, challenge_id, 4)

    def beside_another(*_args, **_kwargs):
        guessing_brake.note_wrong_code(deps, mia.id, clock(), is_guess=True)
        raise OperationalError("INSERT", {}, Exception("the database is away"))

    with monkeypatch.context() as patch:
        patch.setattr(login_records.notices, "tell", beside_another)
        otp.refusal = CodeRefused(reason="wrong", recent_failures=1)
        down(verify(stranger, challenge_id, "000000"), "sql")
    fail(stranger, otp, challenge_id, 1)
    assert types_of(deps, mia).count("second_factor.failed") == 1
    assert "7 since our last message" in notices_in(deps)[-1].body
    assert untold(deps, mia) == 0


def test_a_fifth_whose_gateway_was_killed_is_told_with_the_sixth(deps, stranger, mia, otp, clock):
    """The same holds where Redis has counted and its reply was lost."""
    for _ in range(5):
        guessing_brake.note_wrong_code(deps, mia.id, clock(), is_guess=True)
    fail(stranger, otp, challenge(stranger, mia), 1)
    assert types_of(deps, mia).count("second_factor.failed") == 1


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("too_many_requests", retry_after_seconds=60),
        CodeRefused(reason=None, recent_failures=None, code="second_factor_locked"),
    ],
)
def test_a_code_that_was_not_compared_is_not_told(deps, stranger, mia, otp, refusal):
    challenge_id = challenge(stranger, mia)
    told = len(notices_in(deps))
    otp.refusal = refusal
    for _ in range(6):
        assert verify(stranger, challenge_id).status_code == 429
    assert len(notices_in(deps)) == told
