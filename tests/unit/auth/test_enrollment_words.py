"""Enrolling a second factor takes a one-time word: for operators, and for owners after a reset."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from services.auth import enrollment_words, events
from services.auth.domain.account import Role
from services.auth.domain.session import Factor
from services.auth.models import enrollment_words as enrollment_words_table
from services.auth.store import accounts
from shared.database import reading, writing
from shared.messages import AuthenticatorEnrolled
from tests.support.auth import NOW, fresh, settings, types_of
from tests.support.sign_in import problem
from tests.support.threads import at_once

BEGIN = "/v1/two-factor/enrollment"


@pytest.fixture
def new_operator(make_account, password_hash):
    return make_account("olga@latchkey.example", role=Role.SUPPORT, team="Support", password_hash=password_hash)


@pytest.fixture
def reset_owner(deps, tom):
    """An owner whose 2FA support has removed."""
    with writing(deps.database) as connection:
        accounts.set_enrollment_prompt(connection, tom.id, prompted=True)
    return fresh(deps, tom)


@pytest.fixture
def issue(deps):
    def issue(account, *, usable_at_once=True):
        with writing(deps.database) as connection:
            keys = deps.settings.digest_keys
            return enrollment_words.issue(connection, keys, account.id, deps.clock(), usable_at_once=usable_at_once)

    return issue


def begin(caller, word=None):
    return caller.post(BEGIN, None if word is None else {"word": word})


@pytest.fixture(params=["new_operator", "reset_owner"])
def account(request):
    """Each kind of account that must enrol first."""
    return request.getfixturevalue(request.param)


def test_a_password_alone_enrols_nothing(api, account):
    assert problem(begin(api(account, Factor.PASSWORD))) == (422, "enrollment_word_required")


def test_the_word_begins_an_enrolment_in_any_spelling_that_is_read_aloud(deps, api, account, issue):
    _, word = issue(account)
    assert begin(api(account, Factor.PASSWORD), f" {word.upper().replace(' ', '-')} ").status_code == 201
    assert "enrollment_word.spent" in types_of(deps, account)


def test_a_wrong_word_and_no_word_at_all_are_refused_alike(deps, api, account, issue):
    caller = api(account, Factor.PASSWORD)
    assert problem(begin(caller, "some other words")) == (422, "invalid_enrollment_word")
    issue(account)
    assert problem(begin(caller, "some other words")) == (422, "invalid_enrollment_word")
    assert types_of(deps, account) == ["enrollment_word.refused"] * 2


def test_five_wrong_words_void_the_right_one(api, account, issue):
    _, word = issue(account)
    caller = api(account, Factor.PASSWORD)
    assert [begin(caller, "wrong words here").status_code for _ in range(5)] == [422] * 5
    assert problem(begin(caller, word)) == (422, "invalid_enrollment_word")


def test_the_fifth_word_may_be_the_right_one(api, account, issue):
    _, word = issue(account)
    caller = api(account, Factor.PASSWORD)
    assert [begin(caller, "wrong words here").status_code for _ in range(4)] == [422] * 4
    assert begin(caller, word).status_code == 201


def test_parallel_guesses_never_exceed_five(deps, new_operator, issue):
    issue(new_operator)

    def guess(_number):
        with writing(deps.database) as connection:
            return enrollment_words.store.count_attempt(connection, new_operator.id, NOW - timedelta(days=1))

    assert sum(at_once(12, guess)) == 5


def test_words_that_are_tried_without_end_meet_a_budget(api, account):
    caller = api(account, Factor.PASSWORD)
    statuses = [begin(caller, "wrong words here").status_code for _ in range(11)]
    assert statuses == [422] * 10 + [429]


def test_a_word_lives_24_hours(api, account, issue, clock):
    _, word = issue(account)
    clock.turn(hours=24)
    assert problem(begin(api(account, Factor.PASSWORD), word)) == (422, "invalid_enrollment_word")


def test_who_closed_the_browser_before_2fa_is_on_begins_anew_with_the_same_word(api, account, issue):
    _, word = issue(account)
    caller = api(account, Factor.PASSWORD)
    assert begin(caller, word).status_code == begin(caller, word).status_code == 201
    assert begin(api(account, Factor.PASSWORD), word).status_code == 201


def test_a_word_that_an_earlier_release_voided_is_void(deps, api, account, issue):
    _, word = issue(account)
    with writing(deps.database) as connection:
        connection.execute(update(enrollment_words_table).values(spent_at=NOW))
    assert problem(begin(api(account, Factor.PASSWORD), word)) == (422, "invalid_enrollment_word")


def test_a_word_that_was_used_is_void_after_five_wrong_ones_too(api, account, issue):
    _, word = issue(account)
    assert begin(api(account, Factor.PASSWORD), word).status_code == 201
    thief = api(account, Factor.PASSWORD)
    assert [begin(thief, "wrong words here").status_code for _ in range(5)] == [422] * 5
    assert problem(begin(api(account, Factor.PASSWORD), word)) == (422, "invalid_enrollment_word")


def test_a_word_is_void_once_2fa_is_on(deps, api, account, issue, clock):
    _, word = issue(account)
    caller = api(account, Factor.PASSWORD)
    begin(caller, word)
    clock.turn(seconds=1)
    members = {"account_id": account.id, "authenticator_id": "enr_1", "session_id": caller.session.id}
    events.handle(deps, AuthenticatorEnrolled(id="evt_1", occurred_at=clock(), **members))
    with writing(deps.database) as connection:
        accounts.set_enrollment_prompt(connection, account.id, prompted=True)
    assert problem(begin(api(account, Factor.PASSWORD), word)) == (422, "invalid_enrollment_word")


def test_a_new_word_voids_the_one_before(api, account, issue):
    (_, first), (_, second) = issue(account), issue(account)
    caller = api(account, Factor.PASSWORD)
    assert problem(begin(caller, first)) == (422, "invalid_enrollment_word")
    assert begin(caller, second).status_code == 201


def test_a_word_of_a_reset_waits_for_its_application(deps, api, reset_owner, issue):
    _, earlier = issue(reset_owner)
    word_id, word = issue(reset_owner, usable_at_once=False)
    caller = api(reset_owner, Factor.PASSWORD)
    assert problem(begin(caller, word)) == (422, "invalid_enrollment_word")
    with writing(deps.database) as connection:
        enrollment_words.activate(connection, reset_owner.id, word_id, deps.clock())
    assert problem(begin(caller, earlier)) == (422, "invalid_enrollment_word")
    assert begin(caller, word).status_code == 201


def test_a_word_of_the_command_line_spares_the_word_of_a_reset_that_is_not_applied_yet(deps, api, reset_owner, issue):
    word_id, of_reset = issue(reset_owner, usable_at_once=False)
    _, of_command_line = issue(reset_owner)
    caller = api(reset_owner, Factor.PASSWORD)
    assert begin(caller, of_command_line).status_code == 201
    with writing(deps.database) as connection:
        enrollment_words.activate(connection, reset_owner.id, word_id, deps.clock())
    assert problem(begin(caller, of_command_line)) == (422, "invalid_enrollment_word")
    assert begin(caller, of_reset).status_code == 201


def test_a_word_of_a_reset_that_was_removed_meanwhile_voids_no_other(deps, api, reset_owner, issue):
    _, word = issue(reset_owner)
    with writing(deps.database) as connection:
        enrollment_words.activate(connection, reset_owner.id, "enw_gone", deps.clock())
    assert begin(api(reset_owner, Factor.PASSWORD), word).status_code == 201


def test_another_accounts_word_is_worth_nothing(api, new_operator, reset_owner, issue):
    _, word = issue(reset_owner)
    assert problem(begin(api(new_operator, Factor.PASSWORD), word)) == (422, "invalid_enrollment_word")


def test_the_word_is_stored_as_a_keyed_digest(deps, new_operator, issue):
    _, word = issue(new_operator)
    with reading(deps.database) as connection:
        row = str(connection.exec_driver_sql("SELECT * FROM enrollment_words").mappings().one())
    assert word not in row
    assert deps.settings.digest_keys.newest.mac("enrollment_word", new_operator.id, word) in row


def test_owners_without_a_reset_enrol_without_a_word(api, tom):
    assert begin(api(tom, Factor.PASSWORD)).status_code == 201


def test_the_setting_spares_owners_and_never_operators(app, deps, api, new_operator, reset_owner):
    app.extensions["latchkey"] = replace(deps, settings=settings(ENROLLMENT_WORD_REQUIRED="off"))
    assert begin(api(reset_owner, Factor.PASSWORD)).status_code == 201
    assert problem(begin(api(new_operator, Factor.PASSWORD))) == (422, "enrollment_word_required")


def test_an_operator_who_turned_2fa_off_needs_a_word_to_enrol_again(api, sam):
    caller = api(sam)
    assert caller.delete("/v1/two-factor").status_code == 204
    assert problem(begin(api(sam, Factor.PASSWORD))) == (422, "enrollment_word_required")


# --- until then the session changes nothing ---------------------------------------------------------------------------

ALLOWED = {
    "two-factor.begin",
    "two-factor.confirm",
    "session.reauthenticate",
}
# Need no session, or end it.
OPEN = {
    "login.log_in",
    "login.verify",
    "login.send_sms",
    "login.call",
    "login.send_confirmation",
    "login.confirm",
    "login.log_out",
    "resets.cancel_by_token",
    "resets.confirm_check",
    "callbacks.twilio_keys",
    "callbacks.twilio_status",
}


def writes(app):
    """Every route under /v1 that writes: method, path and endpoint."""
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods & {"POST", "PUT", "PATCH", "DELETE"}):
            if rule.rule.startswith("/v1/"):
                path = rule.build(dict.fromkeys(rule.arguments, "x_1"), append_unknown=False)[1]
                yield method, path, rule.endpoint


def test_every_write_but_those_that_lead_to_enrolment_is_refused(app, api, account):
    caller = api(account, Factor.PASSWORD)
    refused = {
        endpoint
        for method, path, endpoint in writes(app)
        if endpoint not in OPEN and problem(caller.call(method, path)) == (403, "enrollment_required")
    }
    every = {endpoint for _, _, endpoint in writes(app)}
    assert every - refused == ALLOWED | OPEN


def test_reading_the_own_session_and_logging_out_stay_open(api, account):
    caller = api(account, Factor.PASSWORD)
    shown = caller.get("/v1/session")
    assert shown.json["prompts"] == ["enroll_two_factor"]
    assert caller.get("/v1/two-factor").status_code == 200
    assert caller.post("/v1/logout").status_code == 204


def test_with_2fa_on_nothing_is_refused(api, otp, account):
    otp.enabled.add(account.id)
    assert api(account).delete("/v1/trusted-devices").status_code == 204


def test_when_otp_is_down_nothing_is_changed(api, otp, account):
    otp.go_down()
    assert api(account, Factor.PASSWORD).delete("/v1/trusted-devices").status_code == 503
