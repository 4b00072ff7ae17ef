"""Set-up that is interrupted: it goes on in the session that began it, with the same key."""

import pytest

from services.auth.domain.session import Factor
from services.auth.otp_client import CodeRefused
from tests.support.sign_in import problem

PATH = "/v1/two-factor/enrollment"


@pytest.fixture
def caller(api, tom):
    return api(tom, Factor.PASSWORD)


def waiting(caller):
    return caller.get("/v1/two-factor").json["pending_enrollment"]


def test_the_session_that_began_sees_the_same_key(caller):
    assert waiting(caller) is None
    begun = caller.post(PATH).json
    again = caller.get(PATH)
    assert (again.status_code, again.json) == (200, begun)
    assert again.headers["Cache-Control"] == "no-store"
    assert waiting(caller) == {"expires_at": begun["expires_at"]}


def test_another_session_sees_nothing_of_it(api, tom, caller):
    caller.post(PATH)
    other = api(tom, Factor.PASSWORD)
    assert problem(other.get(PATH)) == (410, "enrollment_expired")
    assert waiting(other) is None


def test_the_key_is_shown_in_an_open_step_up_window_alone(api, otp, tom):
    """Somebody at an unlocked screen, or with a stolen cookie, must not read the key that the owner turns on."""
    late = api(tom, Factor.PASSWORD, stepped_up=False)
    otp.begin_enrollment(tom.id, tom.email, late.session.call_id)
    assert problem(late.get(PATH)) == (403, "step_up_required")
    assert waiting(late) is not None


def test_cancelling_ends_it_and_may_be_repeated(api, otp, tom, caller):
    caller.post(PATH)
    assert caller.delete(PATH).status_code == caller.delete(PATH).status_code == 204
    assert problem(caller.get(PATH)) == (410, "enrollment_expired")
    assert waiting(caller) is None
    assert problem(api().delete(PATH)) == (401, "not_authenticated")


def test_a_code_of_an_older_entry_is_told_and_what_otp_tells_the_gateway_alone_is_not(otp, tom, caller):
    begun_at = "2026-11-24T09:31:00.000000Z"

    def refuse(*_args):
        extra = {"cause": "older_entry", "begun_at": begun_at}
        raise CodeRefused(reason="older_entry", recent_failures=1, extra=extra)

    otp.confirm_enrollment = refuse
    answer = caller.post(f"{PATH}/enr_1/confirm", {"code": "123456"})
    assert problem(answer) == (422, "invalid_passcode")
    assert (answer.json["cause"], answer.json["begun_at"]) == ("older_entry", begun_at)
    assert not {"reason", "recent_failures", "spent_rows"} & answer.json.keys()
