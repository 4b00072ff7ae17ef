"""An account that becomes an operator's: its second factor may be a thief's, so the console opens to a new one only."""

import pytest

from services.auth import __main__ as command_line
from services.auth import enrollment_words, events, resets
from services.auth.domain.account import Role
from services.auth.domain.session import Factor
from services.auth.resets import ResetRequest
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared.database import writing
from shared.messages import (
    AuthenticatorEnrolled,
    TwoFactorDisabled,
    TwoFactorResetApplied,
    TwoFactorResetFoundNothing,
)
from tests.support.auth import CLIENT, Api, fresh, notices_in, timeline_of
from tests.support.sign_in import complete, problem

READ, BEGIN = "/v1/support/two-factor-resets", "/v1/two-factor/enrollment"
CLOSED = (403, "enrollment_required")


@pytest.fixture
def promoted(deps, mia, clock):
    """A member who enrolled with the password alone, and was made an operator then."""
    command_line.give_role(deps, deps.otp, mia, Role.SUPPORT)
    clock.turn(seconds=1)
    return fresh(deps, mia)


@pytest.fixture
def sid(deps, otp, make_account, password_hash):
    """An operator whom an earlier release promoted; the entry of that time has no detail about an enrolment."""
    sid = make_account("sid@latchkey.example", role=Role.SUPPORT, team="Support", password_hash=password_hash)
    otp.enabled.add(sid.id)
    with writing(deps.database) as connection:
        timeline.write(connection, sid.id, Entry.ROLE_CHANGED, deps.clock(), before="member", after="support")
    deps.clock.turn(seconds=1)
    return sid


@pytest.fixture
def console(app, api, otp):
    def console(account):
        return problem_or_ok(Api(app, complete(api(), otp, account).json["token"]).get(READ))

    return console


def problem_or_ok(answer):
    return 200 if answer.status_code == 200 else problem(answer)


def word_of_command_line(deps, account):
    with writing(deps.database) as connection:
        keys = deps.settings.digest_keys
        return enrollment_words.issue(connection, keys, account.id, deps.clock(), usable_at_once=True)[1]


def reset_from_command_line(deps, account):
    return resets.request_from_command_line(deps, CLIENT, fresh(deps, account), ResetRequest("T-1", "new operator"))


def applied(deps, otp, account, reset):
    otp.enabled.discard(account.id)
    ids = {"account_id": account.id, "reset_id": reset.id}
    events.handle(deps, TwoFactorResetApplied(id="e_applied", occurred_at=deps.clock(), **ids))
    deps.clock.turn(seconds=1)


def found_nothing(deps, account, reset):
    """otp reports that the owner signed in with a code before the removal."""
    ids = {"account_id": account.id, "reset_id": reset.id}
    nothing = TwoFactorResetFoundNothing(id="e_nothing", occurred_at=deps.clock(), factor=Factor.TOTP, **ids)
    events.handle(deps, nothing)


def give_role(deps, account, role):
    command_line.give_role(deps, deps.otp, fresh(deps, account), role)
    deps.clock.turn(seconds=1)


def enrol(deps, otp, caller, account, word):
    """With the word, and until the worker has handled otp's event."""
    begun = caller.post(BEGIN, {"word": word}).json["enrollment_id"]
    deps.clock.turn(seconds=1)
    code = otp.expect(account.id, "enrollment", begun)
    assert caller.post(f"{BEGIN}/{begun}/confirm", {"code": code}).status_code == 200
    enrolled(deps, account, session_id=caller.session.id)


def enrolled(deps, account, **members):
    members = {"occurred_at": deps.clock(), "authenticator_id": "enr_2", **members}
    events.handle(deps, AuthenticatorEnrolled(id="e_enrolled", account_id=account.id, **members))


def test_a_second_factor_from_before_the_promotion_opens_no_console(console, promoted):
    assert console(promoted) == CLOSED


def test_a_reset_from_the_command_line_and_its_word_open_the_console(deps, api, otp, console, promoted):
    opened = reset_from_command_line(deps, promoted)
    applied(deps, otp, promoted, opened.reset)
    caller = api(promoted, Factor.PASSWORD)
    assert problem(caller.post(BEGIN)) == (422, "enrollment_word_required")
    enrol(deps, otp, caller, promoted, opened.enrollment_word)
    assert console(promoted) == 200


def test_a_new_operator_may_turn_2fa_off_and_on_with_a_word_of_the_command_line(
    deps, api, otp, console, promoted, clock
):
    assert api(promoted).delete("/v1/two-factor").status_code == 204
    events.handle(deps, TwoFactorDisabled(id="e_off", occurred_at=clock(), account_id=promoted.id))
    clock.turn(seconds=1)
    enrol(deps, otp, api(promoted, Factor.PASSWORD), promoted, word_of_command_line(deps, promoted))
    assert console(promoted) == 200


def test_the_command_line_gives_words_to_a_new_operator_without_2fa_too(deps, api, otp, console, tom, clock):
    command_line.give_role(deps, deps.otp, tom, Role.SUPPORT)
    clock.turn(seconds=1)
    opened = reset_from_command_line(deps, tom)
    clock.turn(seconds=1)
    enrol(deps, otp, api(tom, Factor.PASSWORD), tom, opened.enrollment_word)
    assert console(tom) == 200


@pytest.mark.parametrize("seconds", [-60, 0])
def test_an_enrolment_without_a_word_that_is_reported_after_the_promotion_opens_no_console(
    deps, console, promoted, clock, seconds
):
    """From before the promotion and late, or under way in otp when the role was set."""
    clock.turn(seconds=seconds)
    enrolled(deps, promoted, session_id="ses_thief")
    clock.turn(seconds=60)
    assert console(promoted) == CLOSED


def test_the_earlier_second_factor_opens_no_console_while_the_reset_is_approved_and_after_its_code_ended_it(
    deps, console, promoted
):
    reset = reset_from_command_line(deps, promoted).reset
    assert console(promoted) == CLOSED
    found_nothing(deps, promoted, reset)
    assert console(promoted) == CLOSED


def test_an_operator_whose_reset_is_approved_keeps_the_console_until_it_is_applied(deps, otp, console, sid):
    reset = reset_from_command_line(deps, sid).reset
    assert fresh(deps, sid).enrollment_prompted
    assert console(sid) == 200
    applied(deps, otp, sid, reset)
    otp.enabled.add(sid.id)  # enrolled, and the worker has not handled the event
    assert console(sid) == CLOSED


def test_an_operator_from_an_earlier_release_keeps_the_console_after_a_reset_that_found_nothing(deps, console, sid):
    found_nothing(deps, sid, reset_from_command_line(deps, sid).reset)
    assert not fresh(deps, sid).enrollment_prompted
    assert console(sid) == 200


def test_the_same_role_once_more_ends_sessions_and_is_neither_recorded_nor_told(deps, api, console, sid):
    open_session, entries, told = api(sid), timeline_of(deps, sid), notices_in(deps)
    give_role(deps, sid, Role.SUPPORT)
    assert open_session.get("/v1/session").status_code == 401
    assert (timeline_of(deps, sid), notices_in(deps)) == (entries, told)
    assert console(sid) == 200


def test_the_role_of_an_account_is_the_one_that_is_stored_when_it_changes(deps, mia):
    """Two commands have read the account as a member's; the second one waits for the first."""
    command_line.give_role(deps, deps.otp, mia, Role.SUPPORT)
    entries = timeline_of(deps, mia)
    command_line.give_role(deps, deps.otp, mia, Role.SUPPORT)
    assert timeline_of(deps, mia) == entries


def test_the_same_role_once_more_asks_an_operator_who_has_enrolled_for_nothing(deps, api, otp, console, promoted):
    opened = reset_from_command_line(deps, promoted)
    applied(deps, otp, promoted, opened.reset)
    enrol(deps, otp, api(promoted, Factor.PASSWORD), promoted, opened.enrollment_word)
    give_role(deps, promoted, Role.SUPPORT)
    found_nothing(deps, promoted, reset_from_command_line(deps, promoted).reset)
    assert console(promoted) == 200


def test_a_member_whose_promotion_is_taken_back_owes_nothing(deps, api, mia, tom):
    for account in (mia, tom):
        give_role(deps, account, Role.SUPPORT)
        give_role(deps, account, Role.MEMBER)
    assert api(mia).get("/v1/session").json["prompts"] == []
    assert api(tom, Factor.PASSWORD).post(BEGIN).status_code == 201


def test_a_member_without_2fa_after_a_reset_still_owes_the_enrolment_when_a_promotion_is_taken_back(
    deps, api, otp, mia
):
    applied(deps, otp, mia, reset_from_command_line(deps, mia).reset)
    give_role(deps, mia, Role.SUPPORT)
    give_role(deps, mia, Role.MEMBER)
    assert problem(api(mia, Factor.PASSWORD).post(BEGIN)) == (422, "enrollment_word_required")


def test_a_demotion_leaves_the_prompt_of_an_approved_reset_until_its_outcome(deps, promoted):
    reset = reset_from_command_line(deps, promoted).reset
    give_role(deps, promoted, Role.MEMBER)
    assert fresh(deps, promoted).enrollment_prompted
    found_nothing(deps, promoted, reset)
    assert not fresh(deps, promoted).enrollment_prompted


def test_a_second_promotion_asks_for_an_enrolment_again(deps, api, otp, console, promoted):
    opened = reset_from_command_line(deps, promoted)
    applied(deps, otp, promoted, opened.reset)
    enrol(deps, otp, api(promoted, Factor.PASSWORD), promoted, opened.enrollment_word)
    give_role(deps, promoted, Role.MEMBER)
    give_role(deps, promoted, Role.SUPPORT)
    assert console(promoted) == CLOSED


def test_an_owner_who_is_no_operator_is_asked_for_nothing(deps, mia):
    command_line.give_role(deps, deps.otp, mia, Role.OWNER)
    assert not fresh(deps, mia).enrollment_prompted


def test_the_page_of_the_console_says_what_to_do(api, promoted):
    answer = api(promoted).get("/support", headers={"Accept": "text/html"})
    assert answer.status_code == 403
    assert "one-time words that an administrator gives you" in answer.text
