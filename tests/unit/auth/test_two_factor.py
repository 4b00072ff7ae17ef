import pytest

from services.auth import events, password_change, session_store, two_factor
from services.auth.consequences import Acting
from services.auth.domain.session import Factor
from services.auth.store import devices
from shared.database import reading
from shared.messages import AuthenticatorEnrolled
from shared.problems import Refusal
from tests.support.auth import CLIENT, NOW, add_device, sign_in
from tests.support.sign_in import problem, who_is


def confirm(caller, otp, account, code="424242", expected="424242"):
    otp.expect(account.id, "enrollment", f"enr_{account.id}", expected)
    return caller.post(f"/v1/two-factor/enrollment/enr_{account.id}/confirm", {"code": code})


def trusted_count(deps, account):
    with reading(deps.database) as connection:
        return devices.count_trusted(connection, account.id, deps.clock())


def live(deps, account):
    return {session.id for session in session_store.sessions_of(deps.redis, account.id)}


# --- turning it on ----------------------------------------------------------------------------------------------------


def test_beginning_shows_the_key_and_turns_nothing_on(api, tom, otp):
    answer = api(tom).post("/v1/two-factor/enrollment")
    assert answer.status_code == 201
    assert set(answer.json) == {"enrollment_id", "secret", "otpauth_uri", "qr_svg", "expires_at"}
    assert answer.json["otpauth_uri"].endswith("tom@example.com")
    assert answer.headers["Cache-Control"] == "no-store"
    assert otp.enabled == set()


def test_a_right_code_turns_it_on_and_shows_the_backup_codes(api, tom, otp):
    caller = api(tom, Factor.PASSWORD)
    answer = confirm(caller, otp, tom)
    assert answer.status_code == 200
    assert len(answer.json["recovery_codes"]) == 10
    assert otp.enabled == {tom.id}


def test_it_ends_all_that_was_signed_in_before_but_for_this_session(deps, api, tom, ann, otp):
    caller = api(tom, Factor.PASSWORD)
    _, other = sign_in(deps, tom)
    _, anns = sign_in(deps, ann)
    add_device(deps, tom)
    epoch = session_store.epoch(deps.redis, tom.id)
    confirm(caller, otp, tom)
    assert live(deps, tom) == {caller.session.id}
    assert problem(who_is(api, other)) == (401, "not_authenticated")
    assert who_is(api, anns).status_code == 200
    assert trusted_count(deps, tom) == 0
    assert session_store.epoch(deps.redis, tom.id) > epoch


@pytest.mark.parametrize("store", ["redis", "sql"])
def test_the_backup_codes_are_shown_though_the_store_of_what_is_to_end_is_down(
    deps, api, tom, otp, redis_server, store
):
    caller = api(tom, Factor.PASSWORD)
    sign_in(deps, tom)
    add_device(deps, tom)

    def confirm_then_lose_the_store(*args):
        codes = type(otp).confirm_enrollment(otp, *args)
        if store == "redis":
            redis_server.connected = False
        else:
            rename("devices", "gone")
        return codes

    def rename(table, to):
        with deps.database.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {to}")

    otp.confirm_enrollment = confirm_then_lose_the_store
    answer = confirm(caller, otp, tom)
    assert answer.status_code == 200
    assert len(answer.json["recovery_codes"]) == 10
    redis_server.connected = True
    if store == "sql":
        rename("gone", "devices")
    enrolled = AuthenticatorEnrolled(
        id="evt_1", occurred_at=NOW, account_id=tom.id, authenticator_id="enr_1", session_id=caller.session.id
    )
    events.handle(deps, enrolled)
    assert live(deps, tom) == {caller.session.id}
    assert trusted_count(deps, tom) == 0


def test_turning_it_off_is_answered_though_the_store_of_what_is_to_end_is_down(deps, api, tom, otp, redis_server):
    otp.enabled.add(tom.id)
    caller = api(tom)

    def disable_then_lose_the_store(*args):
        type(otp).disable(otp, *args)
        redis_server.connected = False

    otp.disable = disable_then_lose_the_store
    assert caller.delete("/v1/two-factor").status_code == 204


def test_this_session_has_shown_the_new_factor(api, tom, otp, clock):
    caller = api(tom, Factor.PASSWORD)
    clock.turn(minutes=9)
    confirm(caller, otp, tom)
    document = caller.get("/v1/session").json
    assert document["factors"] == ["password", "totp"]
    assert document["assurance"] == "aal2"
    assert document["step_up_until"] is None  # what is next takes a proof of its own


def test_a_wrong_code_turns_nothing_on_and_ends_nothing(deps, api, tom, otp):
    caller = api(tom, Factor.PASSWORD)
    sign_in(deps, tom)
    answer = confirm(caller, otp, tom, "000000")
    assert problem(answer) == (422, "invalid_passcode")
    assert set(answer.json) == {"type", "title", "status", "detail", "code"}
    assert otp.enabled == set()
    assert len(live(deps, tom)) == 2
    assert caller.get("/v1/session").json["assurance"] == "aal1"


def test_nobody_confirms_another_accounts_enrolment(deps, api, tom, ann, otp):
    otp.expect(tom.id, "enrollment", f"enr_{tom.id}")
    answer = api(ann).post(f"/v1/two-factor/enrollment/enr_{tom.id}/confirm", {"code": "424242"})
    assert problem(answer) == (410, "enrollment_expired")
    assert otp.enabled == {ann.id}


@pytest.mark.parametrize("code", ["٤٢٤٢٤٢", "42424", "4242424", " 424242", "0000-0000-0000-0000", None, 424242])
def test_only_six_plain_digits_confirm(api, tom, otp, code):
    assert problem(confirm(api(tom), otp, tom, code)) == (422, "validation_failed")


def test_it_is_not_begun_twice(api, ann):
    assert problem(api(ann).post("/v1/two-factor/enrollment")) == (409, "two_factor_already_on")


# --- turning it off ---------------------------------------------------------------------------------------------------


def test_turning_it_off_ends_all_else_that_was_signed_in(deps, api, ann, otp):
    caller = api(ann)
    _, other = sign_in(deps, ann)
    add_device(deps, ann)
    epoch = session_store.epoch(deps.redis, ann.id)
    assert caller.delete("/v1/two-factor").status_code == 204
    assert otp.enabled == set()
    assert live(deps, ann) == {caller.session.id}
    assert problem(who_is(api, other)) == (401, "not_authenticated")
    assert trusted_count(deps, ann) == 0
    assert session_store.epoch(deps.redis, ann.id) > epoch


def test_turning_it_off_again_changes_nothing(deps, api, ann, clock):
    caller = api(ann)
    old = caller.token
    for _ in range(2):
        caller.token = old
        assert caller.delete("/v1/two-factor").status_code == 204
    clock.turn(minutes=1)
    later, sessions = api(ann), live(deps, ann)
    answer = later.delete("/v1/two-factor")
    assert (answer.status_code, answer.data) == (204, b"")
    assert "X-Session-Token" not in answer.headers
    assert live(deps, ann) == sessions | {later.session.id}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/two-factor/enrollment"),
        ("DELETE", "/v1/two-factor"),
        ("POST", "/v1/two-factor/recovery-codes"),
    ],
)
def test_a_session_that_is_not_stepped_up_changes_nothing(api, ann, otp, method, path):
    before = set(otp.enabled)
    assert problem(api(ann, stepped_up=False).call(method, path)) == (403, "step_up_required")
    assert problem(api().call(method, path)) == (401, "not_authenticated")
    assert otp.enabled == before
    otp.go_down()
    assert problem(api(ann, stepped_up=False).call(method, path)) == (403, "step_up_required")


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/v1/two-factor"), ("POST", "/v1/two-factor/recovery-codes"), ("GET", "/v1/two-factor")],
)
def test_otp_down_is_503_and_ends_nothing(deps, api, ann, otp, method, path):
    caller = api(ann)
    sign_in(deps, ann)
    otp.go_down()
    answer = caller.call(method, path)
    assert problem(answer) == (503, "service_unavailable")
    assert answer.headers["Retry-After"] == "2"
    assert len(live(deps, ann)) == 2


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_new_backup_codes_are_shown_once_and_end_nothing(deps, api, ann):
    caller = api(ann)
    sign_in(deps, ann)
    assert len(caller.post("/v1/two-factor/recovery-codes").json["recovery_codes"]) == 10
    assert len(live(deps, ann)) == 2


def test_there_are_no_backup_codes_without_2fa(api, tom):
    assert problem(api(tom).post("/v1/two-factor/recovery-codes")) == (409, "two_factor_off")


def test_the_state_says_how_the_account_is_protected(api, ann, otp):
    otp.recovery_codes[ann.id] = 3
    answer = api(ann).get("/v1/two-factor")
    assert answer.json["enabled"] is True
    assert (answer.json["locked"], answer.json["locked_everywhere"]) == (False, False)
    assert answer.json["sms"] == {"available": True, "phone_hint": ann.phone.masked()}
    assert answer.json["recovery_codes"]["remaining"] == 3
    assert answer.json["pending_reset"] is None
    assert "consecutive_failures" not in answer.json
    assert ann.phone.e164 not in answer.text


def test_a_proven_phone_gives_no_sms_while_2fa_is_off(api, ann, otp):
    otp.enabled.clear()
    assert api(ann).get("/v1/two-factor").json["sms"]["available"] is False


# --- a copy of the token ----------------------------------------------------------------------------------------------

UNDER_WAY = {
    "disable": two_factor.disable,
    "a new sheet": lambda deps, account, acting: two_factor.regenerate_recovery_codes(deps, account, acting, None),
}


@pytest.mark.parametrize("call", UNDER_WAY)
def test_a_call_under_way_with_a_copy_of_the_token_changes_nothing_once_the_owner_has_another(deps, mia, otp, call):
    """The thief's call and the owner's come from one session. The owner's ended with success."""
    copied = Acting(*sign_in(deps, mia))
    _, owner = password_change.set_new(deps, CLIENT, mia, copied, "nine dry badgers hum softly")
    with pytest.raises(Refusal, match="not_authenticated"):
        UNDER_WAY[call](deps, mia, copied)
    assert otp.enabled == {mia.id}
    assert UNDER_WAY[call](deps, mia, owner)
