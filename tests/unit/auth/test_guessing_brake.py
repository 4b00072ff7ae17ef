"""The brake at the sign-in: whom it stops, whom it spares, and how it comes and goes."""

from datetime import timedelta

import pytest

from services.auth import guessing_brake, limits
from services.auth.domain.guessing import Guess
from services.auth.guessing_metrics import GuessingCollector
from services.auth.otp_client import CodeRefused
from shared import budgets
from shared.problems import Refusal, Unavailable
from tests.support.auth import PASSWORD
from tests.support.sign_in import challenge, complete, down, log_in, problem, sessions, verify
from tests.support.threads import at_once

FLOOR = limits.GUESSING_FLOOR
BACKUP_CODE = "1ABC-DEFG-HJKM-NPQR"


def guesses(deps, count, guess=Guess.WRONG_CODE, hours_ago=0):
    """So many were counted in that hour."""
    (key,) = guessing_brake.charge(guess, deps.clock() - timedelta(hours=hours_ago)).keys()
    deps.redis.set(key, count)


def note_guess(deps, now):
    return guessing_brake.note_wrong_code(deps, "acc_other", now, is_guess=True)


@pytest.fixture
def braked(deps):
    guesses(deps, FLOOR)
    note_guess(deps, deps.clock())
    assert guessing_brake.is_on(deps.redis)


def wrong(caller, otp, challenge_id, code="000000"):
    otp.refusal = CodeRefused(reason="wrong", recent_failures=1)
    try:
        return verify(caller, challenge_id, code)
    finally:
        otp.refusal = None


def right(caller, otp, account, challenge_id, code="424242", factor="totp"):
    otp.expect(account.id, "login", challenge_id, code=code, factor=factor)
    return verify(caller, challenge_id, code)


# --- whom it stops ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("braked")
def test_a_new_browser_has_one_try_of_six_digits_a_day(stranger, api, mia, otp):
    assert wrong(stranger, otp, challenge(stranger, mia)).status_code == 401
    again = right(api(), otp, mia, challenge(api(), mia))
    assert problem(again) == (429, "too_many_requests")
    assert again.json["cause"] == "guessing"
    assert "backup code" in again.json["detail"]
    assert 0 < int(again.headers["Retry-After"]) <= 86400


@pytest.mark.usefixtures("braked")
def test_a_right_code_gives_the_try_back(api, mia, otp):
    for number in range(3):
        assert right(api(), otp, mia, challenge(api(), mia), code=f"42424{number}").status_code == 200


@pytest.mark.usefixtures("braked")
def test_the_try_is_an_accounts(stranger, mia, otp, make_account, password_hash):
    other = make_account("max@example.com", password_hash=password_hash)
    otp.enabled.add(other.id)
    assert wrong(stranger, otp, challenge(stranger, mia)).status_code == 401
    assert right(stranger, otp, other, challenge(stranger, other)).status_code == 200


@pytest.mark.usefixtures("braked")
def test_of_many_tries_at_once_one_is_compared(api, mia, otp):
    challenge_id = challenge(api(), mia)
    otp.refusal = CodeRefused(reason="wrong", recent_failures=1)
    said = at_once(8, lambda _: verify(api(), challenge_id, "000000").status_code)
    assert sorted(said) == [401, *[429] * 7]


@pytest.mark.usefixtures("braked")
def test_an_outage_costs_no_try(stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    otp.go_down()
    down(verify(stranger, challenge_id), "otp")
    otp.refusal = None
    assert right(stranger, otp, mia, challenge_id).status_code == 200


@pytest.mark.usefixtures("braked")
def test_an_outage_gives_back_its_own_try_and_not_that_of_another_browser(deps, stranger, mia, otp):
    challenge_id, the_try = challenge(stranger, mia), guessing_brake.the_try(mia.id)
    otp.expect(mia.id, "login", challenge_id, factor="totp")

    def another_tries_and_otp_goes_away():
        deps.redis.incr(the_try.keys()[0])
        raise Unavailable("otp")

    otp.after_verify = another_tries_and_otp_goes_away
    down(verify(stranger, challenge_id), "otp")
    assert budgets.count(deps.redis, the_try) == 1


@pytest.mark.usefixtures("braked")
@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("too_many_requests", retry_after_seconds=60),
        CodeRefused(reason=None, recent_failures=60, code="second_factor_locked"),
    ],
    ids=lambda refusal: refusal.code,
)
def test_a_code_that_is_not_compared_costs_no_try(refusal, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    otp.refusal = refusal
    assert problem(verify(stranger, challenge_id)) == (refusal.problem.status, refusal.code)
    otp.refusal = None
    assert right(stranger, otp, mia, challenge_id).status_code == 200


def test_without_the_brake_a_second_try_is_compared(stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    assert wrong(stranger, otp, challenge_id).status_code == 401
    assert right(stranger, otp, mia, challenge_id).status_code == 200


# --- whom it spares ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("braked")
def test_backup_codes_and_known_browsers_are_exempt(deps, api, stranger, mia, otp):
    known = complete(api(), otp, mia, remember=True).json["device_token"]
    assert wrong(stranger, otp, challenge(stranger, mia)).status_code == 401
    deps.redis.delete(*deps.redis.keys("auth:sessions:*"))
    assert log_in(api(), mia, device_token=known).json["status"] == "authenticated"
    assert right(api(), otp, mia, challenge(api(), mia), BACKUP_CODE, "recovery_code").status_code == 200
    assert right(api(), otp, mia, challenge(api(), mia)).status_code == 429, "a backup code gives no try back"


@pytest.mark.usefixtures("braked")
def test_a_known_browser_that_must_show_a_code_is_exempt(browser_of_mia, otp, stranger, mia):
    assert wrong(stranger, otp, challenge(stranger, mia)).status_code == 401
    challenge_id = challenge(stranger, mia, device_token=browser_of_mia)
    for _ in range(3):
        assert wrong(stranger, otp, challenge_id).status_code == 401
    assert right(stranger, otp, mia, challenge_id).status_code == 200


@pytest.fixture
def browser_of_mia(stranger, otp, mia):
    """The device token of a browser that is known and not trusted."""
    answer = stranger.post("/v1/login", {"email": mia.email, "password": PASSWORD, "transport": "cookie"})
    cookies = right(stranger, otp, mia, answer.json["challenge"]["id"]).headers.getlist("Set-Cookie")
    return next(one.partition("=")[2].partition(";")[0] for one in cookies if "device" in one.partition("=")[0])


@pytest.mark.usefixtures("braked")
def test_the_password_and_accounts_without_a_second_factor_are_exempt(deps, stranger, tom):
    for _ in range(3):
        assert log_in(stranger, tom).json["status"] == "authenticated"
    assert len(sessions(deps, tom)) == 3


# --- how it comes and goes --------------------------------------------------------------------------------------------


def test_wrong_codes_over_many_accounts_put_it_on(deps, stranger, mia, otp):
    guesses(deps, FLOOR - 1)
    challenge_id = challenge(stranger, mia)
    assert wrong(stranger, otp, challenge_id).status_code == 401
    assert not guessing_brake.is_on(deps.redis)
    guesses(deps, FLOOR)
    assert wrong(stranger, otp, challenge_id).status_code == 401
    assert guessing_brake.is_on(deps.redis)


def test_the_guess_that_exceeds_the_threshold_puts_it_on(deps, clock):
    guesses(deps, 500, hours_ago=1)
    for number in range(FLOOR - 450):
        note_guess(deps, clock())
        assert not guessing_brake.is_on(deps.redis), number
    note_guess(deps, clock())
    assert guessing_brake.is_on(deps.redis)


def test_what_the_last_hour_gets_back_leaves_the_sum_at_once(deps, clock):
    guesses(deps, FLOOR, hours_ago=1)
    guesses(deps, 99)
    note_guess(deps, clock())
    guesses(deps, FLOOR - 2, hours_ago=1)
    note_guess(deps, clock())
    assert not guessing_brake.is_on(deps.redis)
    note_guess(deps, clock())
    assert guessing_brake.is_on(deps.redis)


def test_an_older_hour_leaves_the_sum_with_the_next_hour(deps, clock):
    guesses(deps, 1100, hours_ago=2)
    guesses(deps, 100)
    note_guess(deps, clock())
    assert not guessing_brake.is_on(deps.redis)
    clock.turn(hours=1)
    guesses(deps, 100)
    note_guess(deps, clock())
    assert not guessing_brake.is_on(deps.redis)
    guesses(deps, 120)
    note_guess(deps, clock())
    assert guessing_brake.is_on(deps.redis)


def test_right_passwords_without_a_code_put_it_on(deps, stranger, mia, otp):
    guesses(deps, FLOOR, Guess.RIGHT_PASSWORD)
    challenge(stranger, mia)
    assert guessing_brake.is_on(deps.redis)


def test_a_completed_login_takes_its_right_password_out_of_the_sum(deps, api, mia, otp, clock):
    charge = guessing_brake.charge(Guess.RIGHT_PASSWORD, clock())
    challenge_id = challenge(api(), mia)
    assert deps.redis.get(charge.keys()[0]) == "1"
    assert right(api(), otp, mia, challenge_id).status_code == 200
    assert deps.redis.get(charge.keys()[0]) == "0"


def test_one_account_adds_five_right_passwords_a_day_however_often_it_signs_in(deps, api, mia, otp, clock):
    charge = guessing_brake.charge(Guess.RIGHT_PASSWORD, clock())
    challenges = [challenge(api(), mia) for _ in range(7)]
    assert deps.redis.get(charge.keys()[0]) == "5"
    right(api(), otp, mia, challenges[6])
    assert deps.redis.get(charge.keys()[0]) == "5", "what was not counted takes nothing out"
    right(api(), otp, mia, challenges[0])
    assert deps.redis.get(charge.keys()[0]) == "4"


def test_neither_known_browsers_nor_backup_codes_count(deps, stranger, api, mia, otp, browser_of_mia, clock):
    challenge_id = challenge(stranger, mia, device_token=browser_of_mia)
    wrong(stranger, otp, challenge_id)
    wrong(api(), otp, challenge(api(), mia), BACKUP_CODE)
    assert deps.redis.get(guessing_brake.charge(Guess.WRONG_CODE, clock()).keys()[0]) is None
    assert deps.redis.get(guessing_brake.charge(Guess.RIGHT_PASSWORD, clock()).keys()[0]) == "1", "the backup code's"


def test_it_lasts_a_day_at_least_and_a_later_look_never_ends_it_earlier(deps, braked, clock):
    first = deps.redis.pttl(guessing_brake.KEY)
    assert 25 * 3_600_000 < first <= 26 * 3_600_000
    guesses(deps, 20 * FLOOR)
    note_guess(deps, clock())
    longer = deps.redis.pttl(guessing_brake.KEY)
    assert 28 * 3_600_000 < longer <= 29 * 3_600_000
    guesses(deps, FLOOR)
    note_guess(deps, clock())
    assert deps.redis.pttl(guessing_brake.KEY) > 28 * 3_600_000


def test_an_hour_under_the_brake_counts_as_usual_at_most(deps, braked, clock):
    clock.turn(hours=48)
    seen = guessing_brake.reading(deps.redis, 1, Guess.WRONG_CODE, clock())
    assert seen.threshold == pytest.approx(4 * 25 / 168 * 10)


def test_any_other_hour_counts_a_little_more_than_usual_at_most(deps, clock):
    guesses(deps, 799)
    note_guess(deps, clock())
    assert not guessing_brake.is_on(deps.redis)
    clock.turn(hours=48)
    seen = guessing_brake.reading(deps.redis, 1, Guess.WRONG_CODE, clock())
    assert seen.threshold == pytest.approx(4 * 35 / 168 * 10)


def test_when_redis_is_down_nothing_is_let_through(stranger, mia, redis_server, braked):
    challenge_id = challenge(stranger, mia)
    redis_server.connected = False
    down(verify(stranger, challenge_id), "redis")


# --- who hears of it --------------------------------------------------------------------------------------------------


def test_a_program_hears_of_it_before_the_try(stranger, mia, braked, deps):
    answer = log_in(stranger, mia).json["challenge"]
    assert answer["one_try"] is True
    assert stranger.get(f"/v1/login/{answer['id']}").json["one_try"] is True
    deps.redis.delete(guessing_brake.KEY)
    assert log_in(stranger, mia).json["challenge"]["one_try"] is False
    assert stranger.get(f"/v1/login/{answer['id']}").json["one_try"] is False


def test_a_known_browser_is_not_told_what_does_not_concern_it(stranger, mia, otp, browser_of_mia, braked):
    assert log_in(stranger, mia, device_token=browser_of_mia).json["challenge"]["one_try"] is False


def figures(deps, redis=None):
    collector = GuessingCollector(redis or deps.redis, deps.clock, FLOOR)
    return {
        (metric.name, *sample.labels.values()): sample.value
        for metric in collector.collect()
        for sample in metric.samples
    }


def test_the_metrics_say_how_much_is_guessed_and_whether_that_is_too_much(deps, braked):
    guesses(deps, 40, Guess.RIGHT_PASSWORD)
    assert figures(deps) == {
        ("latchkey_guessing_up",): 1,
        ("latchkey_guessing_level", "wrong_code"): FLOOR + 1,
        ("latchkey_guessing_level", "right_password"): 40,
        ("latchkey_guessing_threshold", "wrong_code"): FLOOR,
        ("latchkey_guessing_threshold", "right_password"): FLOOR,
        ("latchkey_guessing_brake",): 1,
    }


def test_without_redis_the_metrics_say_so(deps, redis_server):
    redis_server.connected = False
    assert figures(deps) == {("latchkey_guessing_up",): 0}
