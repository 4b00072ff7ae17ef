"""Operators are accounts with more to lose: what opens the console, and what they do not do for each other."""

from services.auth import enrollment_words, events
from services.auth.domain.account import Role
from services.auth.domain.session import Factor
from shared.database import writing
from shared.messages import TwoFactorDisabled
from tests.support import ceremony
from tests.support.ceremony import IMMEDIATE_BY_TWO
from tests.support.desk import ASKED, READ, RESET
from tests.support.sign_in import log_in, problem

# --- what opens the console -------------------------------------------------------------------------------------------


def test_an_operator_who_turns_2fa_off_loses_the_console_at_once(api, otp, sam):
    caller = api(sam)
    assert caller.get(READ).status_code == 200
    otp.enabled.discard(sam.id)
    assert problem(caller.get(READ)) == (403, "second_factor_required")


def test_a_stolen_second_factor_opens_no_console_while_its_reset_waits_and_a_login_still_asks_for_a_code(
    api, otp, make_account, password_hash
):
    olga = make_account("olga@latchkey.example", role=Role.SUPPORT, password_hash=password_hash)
    otp.enabled.add(olga.id)
    thief = api(olga)
    assert thief.get(READ).status_code == 200
    otp.suspended.add(olga.id)
    assert problem(thief.get(READ)) == (403, "second_factor_required")
    assert log_in(api(), olga).json["status"] == "second_factor_required"
    assert thief.delete("/v1/trusted-devices").status_code == 204


def test_a_session_whose_2fa_was_turned_off_opens_no_console_after_an_enrolment_in_it(deps, api, otp, sam, clock):
    """The gateway was killed before it ended the factors of the session, so otp's event did."""
    caller = api(sam)
    clock.turn(seconds=5)
    members = {"occurred_at": clock(), "account_id": sam.id, "session_id": caller.session.id}
    events.handle(deps, TwoFactorDisabled(id="evt_1", **members))
    assert caller.get("/v1/session").json["assurance"] == "aal1"
    assert problem(caller.get(READ)) == (
        403,
        "second_factor_required",
    )  # sam has enrolled anew: otp says that 2FA is on


def test_the_console_is_shut_while_otp_does_not_answer(api, otp, sam):
    caller = api(sam)
    otp.go_down()
    assert caller.get(READ).status_code == 503


def test_a_session_of_password_and_remembered_device_does_not_open_the_console(api, sam):
    for factors in ((Factor.PASSWORD,), (Factor.PASSWORD, Factor.TRUSTED_DEVICE)):
        assert problem(api(sam, *factors).get(READ)) == (403, "second_factor_required")


def test_the_login_that_enrolled_does_not_open_the_console_and_a_later_one_does(deps, api, otp, make_account):
    olga = make_account("olga@latchkey.example", role=Role.SUPPORT)
    with writing(deps.database) as connection:
        keys = deps.settings.digest_keys
        _, word = enrollment_words.issue(connection, keys, olga.id, deps.clock(), usable_at_once=True)
    caller = api(olga, Factor.PASSWORD)
    begun = caller.post("/v1/two-factor/enrollment", {"word": word}).json["enrollment_id"]
    code = otp.expect(olga.id, "enrollment", begun)
    confirmed = caller.post(f"/v1/two-factor/enrollment/{begun}/confirm", {"code": code})
    assert confirmed.status_code == 200
    caller.token = confirmed.headers.get("X-Session-Token", caller.token)
    assert caller.get("/v1/session").json["assurance"] == "aal2"
    assert problem(caller.get(READ)) == (403, "second_factor_required")
    assert api(olga).get(READ).status_code == 200


def test_every_write_of_support_needs_the_step_up_window(app, api, sam, ann):
    caller = api(sam, stepped_up=False)
    assert caller.get(READ).status_code == 200
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/v1/support") and "POST" in rule.methods:
            path = rule.build(dict.fromkeys(rule.arguments, ann.id), append_unknown=False)[1]
            assert problem(caller.post(path)) == (403, "step_up_required"), path


# --- no rings ---------------------------------------------------------------------------------------------------------


def test_an_operator_whose_2fa_was_reset_approves_nothing_with_the_password(deps, api, otp, ann, sam, sue):
    """One operator resets the other, signs in as the other with a known password, and approves the own requests."""
    reset = ceremony.request_reset(deps, sam, ann, IMMEDIATE_BY_TWO)
    otp.enabled.discard(sue.id)  # what a reset does
    stolen = api(sue, Factor.PASSWORD)
    assert stolen.post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset.id}/approve").status_code == 403
    assert problem(stolen.post("/v1/two-factor/enrollment")) == (422, "enrollment_word_required")
    assert problem(stolen.post("/v1/password", {"new_password": "x"})) == (403, "enrollment_required")


def test_an_operator_does_nothing_to_the_own_account(api, sam):
    caller = api(sam)
    for path, body in (("unlock", ASKED), ("two-factor-resets", RESET)):
        assert problem(caller.post(f"/v1/support/accounts/{sam.id}/{path}", body)) == (422, "own_account"), path
