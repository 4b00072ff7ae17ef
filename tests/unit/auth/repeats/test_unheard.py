"""otp did its part and the gateway did not hear it: the repeat finishes the change."""

import pytest

from services.auth import events, session_store
from services.auth.domain.account import Role
from services.auth.domain.session import Factor
from shared.messages import decode
from tests.support.auth import OTHER_PHONE, PHONE, events_in, fresh, sign_in
from tests.support.repeats import KEY, NEW_PASSWORD, begun, proof
from tests.support.sign_in import problem

# --- otp did its part, the gateway did not hear -----------------------------------------------------------------------


def test_a_confirm_that_otp_did_unheard_is_finished_by_its_repeat(deps, api, tom, otp, world):
    caller = api(tom, Factor.PASSWORD)
    _, other = sign_in(deps, tom)
    path, body = begun(caller, world, tom)
    otp.lose = "/confirm"
    assert problem(caller.post(path, body)) == (503, "service_unavailable")
    assert otp.state(tom.id).enabled
    answer = caller.post(path, body)
    assert answer.status_code == 200
    assert world.verify(answer.json["recovery_codes"][0], account=tom.id).status_code == 200
    assert session_store.find(deps.redis, other) is None
    assert world.event_types().count("authenticator.enrolled") == 1


def test_a_disable_that_otp_did_unheard_is_finished_by_its_repeat(deps, api, on, otp, world):
    caller = api(on)
    _, other = sign_in(deps, on)
    otp.lose = "/two-factor"
    assert problem(caller.delete("/v1/two-factor")) == (503, "service_unavailable")
    assert not otp.state(on.id).enabled
    assert caller.delete("/v1/two-factor").status_code == 204
    assert session_store.find(deps.redis, other) is None
    assert world.event_types() == ["two_factor.disabled"]


@pytest.mark.parametrize("lost", [None, "/two-factor"])
def test_the_event_of_a_disable_ends_no_login_begun_since(deps, api, on, otp, world, lost):
    caller = api(on)
    otp.lose = lost
    if lost:
        assert caller.delete("/v1/two-factor", headers=KEY).status_code == 503
    assert caller.delete("/v1/two-factor", headers=KEY).status_code == 204
    epoch = session_store.epoch(deps.redis, on.id)
    events.handle(deps, decode(world.events()[0]))
    assert session_store.epoch(deps.redis, on.id) == epoch


@pytest.mark.parametrize("heard", ["the event first", "no event"])
def test_an_operators_disable_that_otp_did_unheard_is_finished_by_its_repeat(
    deps, api, make_account, otp, world, heard
):
    """An operator without 2FA may write nothing but what leads to it, and the repeat of this call."""
    sam = make_account("sam@latchkey.example", role=Role.SUPPORT, team="Support")
    world.enrol(sam.id)
    caller = api(sam)
    _, other = sign_in(deps, sam)
    otp.lose = "/two-factor"
    assert problem(caller.delete("/v1/two-factor", headers=KEY)) == (503, "service_unavailable")
    if heard == "the event first":
        events.handle(deps, decode(world.events()[0]))
    answer = caller.delete("/v1/two-factor", headers=KEY)
    assert (answer.status_code, "X-Session-Token" in answer.headers) == (204, True)
    assert session_store.find(deps.redis, other) is None


def test_a_repeat_gets_the_new_sheet_that_otp_made_when_its_answer_was_lost(api, on, otp, world):
    caller = api(on)
    otp.lose = "/recovery-codes"
    assert problem(caller.post("/v1/two-factor/recovery-codes", headers=KEY)) == (503, "service_unavailable")
    sheet = caller.post("/v1/two-factor/recovery-codes", headers=KEY).json["recovery_codes"]
    assert caller.post("/v1/two-factor/recovery-codes", headers=KEY).json["recovery_codes"] == sheet
    assert world.event_types() == ["recovery_codes.regenerated"]
    assert world.verify(sheet[0], account=on.id).status_code == 200


def test_a_repeat_finishes_the_proof_of_a_phone_when_otps_answer_was_lost(deps, api, tom, otp, world):
    caller = api(tom)
    code = proof(caller, world, tom, deps)
    otp.lose = "/verifications"
    assert problem(caller.post("/v1/phone/verify", {"code": code})) == (503, "service_unavailable")
    assert caller.post("/v1/phone/verify", {"code": code}).status_code == 200
    assert fresh(deps, tom).phone == OTHER_PHONE


@pytest.mark.parametrize("rests_on", [Factor.TOTP, Factor.SMS])
def test_a_repeat_finishes_the_proof_of_a_phone_when_otps_answer_to_the_endings_was_lost(
    deps, api, make_account, otp, world, rests_on
):
    mia = make_account("mia@example.com", phone=PHONE)
    world.enrol(mia.id)
    caller = api(mia, Factor.PASSWORD, rests_on)
    code = proof(caller, world, mia, deps)
    otp.lose = "/endings"
    assert problem(caller.post("/v1/phone/verify", {"code": code})) == (503, "service_unavailable")
    assert fresh(deps, mia).phone == PHONE
    assert caller.post("/v1/phone/verify", {"code": code}).status_code == 200
    assert fresh(deps, mia).phone == OTHER_PHONE
    assert caller.get("/v1/session").status_code == (401 if rests_on is Factor.SMS else 200)


# --- a change that fails half-way leaves a session that otp serves ----------------------------------------------------


def test_a_disable_of_which_otp_answers_no_ending_leaves_a_session_that_enrols(api, on, otp):
    caller = api(on)
    otp.lose = "/endings"
    assert caller.delete("/v1/two-factor").status_code == 204
    assert caller.post("/v1/two-factor/enrollment").status_code == 201


def test_a_password_change_that_fails_leaves_a_session_that_turns_2fa_off(api, on, otp):
    caller = api(on)
    otp.lose = "/endings"
    assert problem(caller.post("/v1/password", NEW_PASSWORD))[0] == 503
    assert caller.delete("/v1/two-factor").status_code == 204


@pytest.mark.parametrize("spares", [0, 1])
@pytest.mark.parametrize("call", ["confirm", "disable"])
def test_a_call_whose_gateway_was_killed_between_its_endings_is_done_by_its_repeat(api, tom, otp, world, call, spares):
    caller = api(tom)
    path, body = begun(caller, world, tom) if call == "confirm" else ("/v1/two-factor", None)
    if call == "disable":
        world.enrol(tom.id)

    def made():
        return caller.post(path, body) if call == "confirm" else caller.delete(path, headers=KEY)

    otp.lose, otp.spares, otp.kills = "/endings", spares, True
    with pytest.raises(SystemExit):
        made()
    assert made().status_code in {200, 204}
    assert caller.get("/v1/session").status_code == 200
    assert otp.state(tom.id).enabled == (call == "confirm")


def test_the_old_name_of_a_session_ends_by_an_event_when_otp_does_not_answer_to_the_call(deps, api, on, otp):
    caller = api(on)
    old = session_store.find(deps.redis, caller.token).call_id
    otp.lose, otp.spares = "/endings", 1
    assert caller.post("/v1/password", NEW_PASSWORD).status_code == 200
    assert old in {event.session_id for event in events_in(deps) if event.TYPE == "session.ended"}
    assert caller.get("/v1/session").status_code == 200
