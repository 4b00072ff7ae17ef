"""Before the last tries of a row that is the caller's own, a refusal says how many are left."""

from services.auth import guessing_brake, limits
from services.auth.otp_client import _refusal
from tests.support import auth
from tests.support.sign_in import challenge, complete, log_in, problem, verify

LAST_OF_FIVE = [None, None, 2, 1, 0, None]


def left(answers):
    return [answer.json.get("tries_left") for answer in answers]


def refused_code(**members):
    document = {"status": 401, "code": "invalid_passcode", "title": "t", "detail": "d", "type": "x"}
    return _refusal(401, {**document, "reason": "wrong", "recent_failures": 4, **members})


def test_what_otp_says_of_a_login_is_passed_on(stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    otp.refusal = refused_code(tries_left=1, cause="backup_code")
    refused = verify(stranger, challenge_id)
    assert (refused.json["tries_left"], refused.json["cause"]) == (1, "backup_code")
    otp.refusal = refused_code()
    assert verify(stranger, challenge_id).json.keys() == {"type", "title", "status", "detail", "code"}


def test_the_one_try_under_the_brake_is_the_last(deps, stranger, mia, otp):
    deps.redis.set(guessing_brake.KEY, 1)
    challenge_id = challenge(stranger, mia)
    otp.refusal = refused_code(tries_left=2)
    assert verify(stranger, challenge_id).json["tries_left"] == 0
    assert problem(verify(stranger, challenge_id)) == (429, "too_many_requests")


def test_a_session_hears_it_of_a_wrong_password(api, mia):
    caller = api(mia)
    answers = [caller.post("/v1/reauthenticate", {"password": "wrong", "code": "424242"}) for _ in range(6)]
    assert left(answers) == LAST_OF_FIVE
    assert {answer.json["cause"] for answer in answers[:5]} == {"password"}
    assert problem(answers[5]) == (429, "too_many_requests")


def test_a_session_hears_it_of_a_wrong_code_and_the_fewer_ones_hold(api, mia, otp):
    caller = api(mia)
    for by_otp, said in ((None, None), (0, 0), (None, 2), (2, 1)):
        otp.refusal = refused_code(**({} if by_otp is None else {"tries_left": by_otp}))
        answer = caller.post("/v1/reauthenticate", {"password": auth.PASSWORD, "code": "424242"})
        assert (problem(answer), answer.json.get("tries_left")) == ((422, "invalid_passcode"), said)


def test_a_session_hears_it_of_a_wrong_current_password(api, mia):
    caller, body = api(mia), {"current_password": "wrong", "new_password": "nine dry walruses whistle"}
    assert left([caller.post("/v1/password", body) for _ in range(6)]) == LAST_OF_FIVE


def test_a_known_client_hears_it_of_its_password_and_a_stranger_does_not(stranger, mia, otp):
    """A stranger would learn how often the owner, or another stranger, has just tried this address."""
    token = complete(stranger, otp, mia).json["device_token"]
    most = limits.LOGIN_KNOWN_DEVICE.windows[0].max
    known = [log_in(stranger, mia, "wrong", device_token=token) for _ in range(most)]
    assert left(known) == [None] * (most - 3) + [2, 1, 0]
    assert left([log_in(stranger, mia, "wrong") for _ in range(limits.LOGIN_EMAIL.windows[0].max)]) == [None] * most
