from dataclasses import replace
from datetime import timedelta

import pytest

from services.auth import limits, session_store, step_up
from services.auth.deps import subject
from services.auth.domain.session import Factor, StepUp
from services.auth.otp_client import CodeRefused
from services.auth.step_up import Window
from shared.budgets import Charge
from tests.support import auth
from tests.support.auth import end_all, timeline_of, types_of
from tests.support.sign_in import complete, log_in, problem

MARKED = ("POST", "/v1/two-factor/recovery-codes")


def reauthenticate(caller, password=auth.PASSWORD, **members):
    return caller.post("/v1/reauthenticate", {"password": password, **members})


def spent(deps, charge):
    keys = charge.keys()
    return [int(deps.redis.get(key) or 0) for key in keys]


# --- the window -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "is_open"),
    [
        (timedelta(0), True),
        (timedelta(minutes=10), True),
        (timedelta(minutes=10, microseconds=1), False),
        (timedelta(hours=1), False),
    ],
)
def test_the_window_is_open_for_ten_minutes(deps, api, ann, clock, age, is_open):
    caller = api(ann)
    begun = clock()
    clock.now += age
    ends_at = begun + timedelta(minutes=10)
    assert step_up.window(caller.session, clock()) == (Window(StepUp.FULL, ends_at) if is_open else None)
    answer = caller.call(*MARKED)
    if is_open:
        assert answer.status_code == 200
    else:
        assert problem(answer) == (403, "step_up_required")


def test_what_the_session_says_of_the_window_is_what_the_guard_does(api, ann, clock):
    caller = api(ann)
    clock.turn(minutes=10)
    assert caller.get("/v1/session").json["step_up_until"] == "2026-11-24T05:10:00.000000Z"
    assert caller.call(*MARKED).status_code == 200
    clock.turn(microseconds=1)
    assert caller.get("/v1/session").json["step_up_until"] is None
    assert caller.call(*MARKED).status_code == 403


def test_a_session_that_never_proved_itself_fully_has_no_window(api, ann):
    caller = api(ann, stepped_up=False)
    assert problem(caller.call(*MARKED)) == (403, "step_up_required")


# --- opening it -------------------------------------------------------------------------------------------------------


def test_password_and_code_open_it(deps, api, mia, otp, clock):
    caller = api(mia)
    clock.turn(hours=1)
    otp.expect(mia.id, "step_up", caller.session.id, factor="recovery_code")
    answer = reauthenticate(caller, code="424242")
    assert answer.status_code == 200
    assert answer.json["step_up_until"] == "2026-11-24T06:10:00.000000Z"
    assert answer.json["factors"] == ["password", "totp", "recovery_code"]
    assert answer.json == caller.get("/v1/session").json
    assert caller.call(*MARKED).status_code == 200
    (row,) = [row for row in timeline_of(deps, mia) if row.type == "session.stepped_up"]
    assert row.details == {"session_id": caller.session.id, "factors": ["password", "recovery_code"]}


def test_with_2fa_off_the_password_opens_it(api, tom, clock):
    caller = api(tom, Factor.PASSWORD)
    clock.turn(hours=1)
    assert reauthenticate(caller).json["step_up_until"] == "2026-11-24T06:10:00.000000Z"
    assert caller.post("/v1/two-factor/enrollment").status_code == 201


def test_with_2fa_on_the_password_alone_does_not(api, mia, clock):
    caller = api(mia)
    clock.turn(hours=1)
    answer = reauthenticate(caller)
    assert problem(answer) == (422, "validation_failed")
    assert "code" in answer.json["errors"]
    assert caller.get("/v1/session").json["step_up_until"] is None


def test_a_wrong_password_does_not_and_otp_is_not_asked(deps, api, mia, otp, clock):
    caller = api(mia)
    clock.turn(hours=1)
    otp.expect(mia.id, "step_up", caller.session.id)
    assert problem(reauthenticate(caller, "wrong", code="424242")) == (422, "invalid_credentials")
    assert otp.codes
    assert caller.get("/v1/session").json["step_up_until"] is None
    assert types_of(deps, mia) == []


def test_a_wrong_code_does_not_and_nobody_hears_why(api, mia, otp, clock):
    caller = api(mia)
    clock.turn(hours=1)
    otp.verify = lambda *_: (_ for _ in ()).throw(CodeRefused(reason="replayed", recent_failures=3))
    answer = reauthenticate(caller, code="424242")
    assert problem(answer) == (422, "invalid_passcode")
    assert set(answer.json) == {"type", "title", "status", "detail", "code"}
    assert caller.get("/v1/session").json["step_up_until"] is None


def test_a_code_for_a_login_or_for_another_session_does_not(deps, api, mia, otp):
    caller, other = api(mia), api(mia)
    otp.expect(mia.id, "login", caller.session.id)
    otp.expect(mia.id, "step_up", other.session.id)
    assert problem(reauthenticate(caller, code="424242")) == (422, "invalid_passcode")


def test_it_opens_for_this_session_only(api, mia, otp, clock):
    caller, other = api(mia), api(mia)
    clock.turn(hours=1)
    otp.expect(mia.id, "step_up", caller.session.id, factor="totp")
    assert reauthenticate(caller, code="424242").status_code == 200
    assert problem(other.call(*MARKED)) == (403, "step_up_required")


def test_a_session_that_ends_meanwhile_is_not_brought_back(deps, api, mia, otp):
    caller = api(mia)
    otp.expect(mia.id, "step_up", caller.session.id)
    otp.after_verify = lambda: end_all(deps, mia)
    assert problem(reauthenticate(caller, code="424242")) == (401, "not_authenticated")
    assert session_store.sessions_of(deps.redis, mia.id) == []


@pytest.mark.parametrize("what", ["otp", "redis"])
def test_an_outage_opens_nothing(api, mia, otp, clock, redis_server, what):
    caller = api(mia)
    clock.turn(hours=1)
    otp.expect(mia.id, "step_up", caller.session.id)
    if what == "otp":
        otp.go_down()
    else:
        redis_server.connected = False
    assert problem(reauthenticate(caller, code="424242")) == (503, "service_unavailable")
    otp.refusal, redis_server.connected = None, True
    assert caller.get("/v1/session").json["step_up_until"] is None


# --- its budget -------------------------------------------------------------------------------------------------------


def test_five_tries_in_five_minutes_and_then_not_even_the_right_one(api, tom):
    caller = api(tom)
    for _ in range(5):
        assert reauthenticate(caller, "wrong").status_code == 422
    answer = reauthenticate(caller)
    assert problem(answer) == (429, "too_many_requests")
    assert 0 < int(answer.headers["Retry-After"]) <= 300


def test_what_one_session_spends_holds_out_no_other(api, tom):
    caller = api(tom)
    for _ in range(5):
        reauthenticate(caller, "wrong")
    assert reauthenticate(caller).status_code == 429
    assert reauthenticate(api(tom)).status_code == 200


def test_it_is_not_the_logins_budget(deps, api, tom):
    caller = api(tom)
    for _ in range(5):
        reauthenticate(caller, "wrong")
    assert spent(deps, Charge(limits.LOGIN_EMAIL, subject(deps, "email", tom.email))) == [0, 0]
    assert log_in(api(), tom).status_code == 200
    assert reauthenticate(caller).status_code == 429  # and a login does not refill it


def test_a_success_costs_nothing(deps, api, mia, otp):
    caller = api(mia)
    reauthenticate(caller, "wrong")
    for _ in range(7):
        otp.expect(mia.id, "step_up", caller.session.id)
        assert reauthenticate(caller, code="424242").status_code == 200
    assert spent(deps, Charge(limits.REAUTHENTICATE, caller.session.id)) == [1, 1, 1]


def test_a_right_password_with_a_wrong_code_is_paid_for(deps, api, mia):
    caller = api(mia)
    reauthenticate(caller, code="000000")
    reauthenticate(caller)
    assert spent(deps, Charge(limits.REAUTHENTICATE, caller.session.id)) == [2, 2, 2]


def test_it_needs_a_session(api):
    assert problem(reauthenticate(api())) == (401, "not_authenticated")


def test_the_window_of_a_session_without_a_proof_is_shut(deps, api, ann, clock):
    assert step_up.window(replace(api(ann).session, stepped_up_at=None), clock()) is None


# --- the small window -------------------------------------------------------------------------------------------------


def stepped_up_by_sms(caller, account, otp):
    assert caller.post("/v1/reauthenticate/sms").status_code == 202
    return reauthenticate(caller, code="424242")


def test_a_texted_code_opens_the_small_window_and_no_more(api, mia, otp):
    caller = api(mia, Factor.PASSWORD, Factor.TRUSTED_DEVICE, stepped_up=False)
    answer = stepped_up_by_sms(caller, mia, otp)
    assert (answer.status_code, answer.json["step_up"]) == (200, "small")
    assert answer.json["step_up_until"] == "2026-11-24T05:10:00.000000Z"
    assert answer.json == caller.get("/v1/session").json
    for method, path, body in (
        (*MARKED, None),
        ("POST", "/v1/two-factor/enrollment", None),
        ("PUT", "/v1/phone", {"country": "DE", "number": "01512 3456780"}),
        ("DELETE", "/v1/two-factor", None),
    ):
        refused = caller.call(method, path, body)
        assert problem(refused) == (403, "step_up_required")
        assert refused.json["step_up"] == "full"


def test_the_small_window_is_enough_to_change_the_password_and_closes_with_it(api, mia, otp):
    caller = api(mia, Factor.PASSWORD, Factor.TRUSTED_DEVICE, stepped_up=False)
    body = {"current_password": auth.PASSWORD, "new_password": "nine dry badgers hum softly"}
    refused = caller.post("/v1/password", body)
    assert (problem(refused), refused.json["step_up"]) == ((403, "step_up_required"), "small")
    stepped_up_by_sms(caller, mia, otp)
    before = caller.token
    assert caller.post("/v1/password", body).status_code == 200
    assert caller.token != before
    assert caller.get("/v1/session").json["step_up"] is None


def test_a_texted_code_shuts_no_full_window(api, mia, otp, clock):
    caller = api(mia)
    clock.turn(minutes=5)
    stepped_up_by_sms(caller, mia, otp)
    assert caller.get("/v1/session").json["step_up"] == "full"
    assert caller.call(*MARKED).status_code == 200


def test_a_login_by_sms_opens_no_window(api, stranger, mia, otp):
    caller = api()
    caller.token = complete(stranger, otp, mia, factor="sms").json["token"]
    document = caller.get("/v1/session").json
    assert (document["assurance"], document["step_up"], document["step_up_until"]) == ("aal2", None, None)


@pytest.mark.parametrize("factor", ["totp", "recovery_code"])
def test_a_login_by_app_or_backup_code_opens_the_full_window(api, stranger, mia, otp, factor):
    caller = api()
    caller.token = complete(stranger, otp, mia, factor=factor).json["token"]
    assert caller.get("/v1/session").json["step_up"] == "full"


def test_no_phone_no_text(api, tom, otp):
    otp.enabled.add(tom.id)
    assert problem(api(tom).post("/v1/reauthenticate/sms")) == (409, "sms_unavailable")
    assert otp.sent_to == []
