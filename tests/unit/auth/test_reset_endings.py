"""A reset that may not go on ends, and the owner is told why."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.auth import events, reset_steps, resets
from services.auth.domain.account import Role
from services.auth.domain.reset import ReasonKind, Status
from services.auth.domain.session import Factor
from services.auth.resets import ResetRequest
from services.auth.store import accounts, timeline
from services.auth.store import resets as store
from services.auth.store.timeline import Entry
from shared.database import reading, writing
from shared.messages import (
    AuthenticatorEnrolled,
    AuthenticatorsReinstated,
    AuthenticatorsSuspended,
    TwoFactorDisabled,
    TwoFactorResetApplied,
    TwoFactorResetApprovalLapsed,
    TwoFactorResetApproved,
    TwoFactorResetCoolOffEnded,
    TwoFactorResetFoundNothing,
)
from shared.problems import Refusal
from tests.support import ceremony
from tests.support.auth import CLIENT, PASSWORD, events_in, fresh, notices_in, timeline_of
from tests.support.ceremony import COOL_OFF, COOL_OFF_BY_TWO, IMMEDIATE, IMMEDIATE_BY_TWO
from tests.support.sign_in import problem


@pytest.fixture
def opened(deps, sam, ann):
    return lambda checks, kind=ReasonKind.LOST: ceremony.request_reset(deps, sam, ann, checks, kind)


@pytest.fixture
def of_type(deps):
    return lambda kind: [message for message in events_in(deps) if isinstance(message, kind)]


def stored(deps, reset):
    with reading(deps.database) as connection:
        return store.by_id(connection, reset.id)


def prove(deps, account, factor):
    with writing(deps.database) as connection:
        reset_steps.owner_proved(connection, deps, account, factor, deps.clock())


def outcome(deps, reset):
    found = stored(deps, reset)
    return found.status, found.ended_because


# --- approvals that are not given -------------------------------------------------------------------------------------


def test_an_approval_that_is_not_given_in_72_hours_ends_the_reset(deps, opened, of_type, ann, clock):
    reset = opened(IMMEDIATE_BY_TWO)
    (lapsed,) = of_type(TwoFactorResetApprovalLapsed)
    clock.turn(hours=72)
    events.handle(deps, lapsed)
    assert outcome(deps, reset) == (Status.ENDED, "not_approved_in_time")
    assert "No other operator approved it in time." in notices_in(deps)[-1].body
    assert timeline_of(deps, ann)[-1].type == "two_factor.reset_ended"


def test_a_late_approval_is_refused_before_the_event_comes(deps, api, opened, ann, sue, clock):
    reset = opened(IMMEDIATE_BY_TWO)
    clock.turn(hours=72)
    answer = api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset.id}/approve")
    assert (answer.status_code, answer.json["code"]) == (409, "reset_not_open")


def test_an_early_or_forged_end_of_the_wait_does_nothing_but_come_again(deps, opened, of_type, clock):
    reset = opened(IMMEDIATE_BY_TWO)
    (lapsed,) = of_type(TwoFactorResetApprovalLapsed)
    clock.turn(hours=71)
    events.handle(deps, lapsed)
    assert outcome(deps, reset) == (Status.AWAITING_APPROVAL, None)
    assert len(of_type(TwoFactorResetApprovalLapsed)) == 2


def test_an_early_or_forged_end_of_the_cool_off_does_nothing_but_come_again(deps, opened, of_type, clock):
    reset = opened(COOL_OFF)
    (ended,) = of_type(TwoFactorResetCoolOffEnded)
    clock.turn(minutes=59)
    events.handle(deps, ended)
    assert outcome(deps, reset) == (Status.COOLING_OFF, None)
    assert of_type(TwoFactorResetApproved) == []
    again = of_type(TwoFactorResetCoolOffEnded)[-1]
    clock.turn(minutes=1)
    events.handle(deps, again)
    assert outcome(deps, reset)[0] is Status.APPROVED


@pytest.mark.parametrize("kind", [TwoFactorResetCoolOffEnded, TwoFactorResetApprovalLapsed, TwoFactorResetFoundNothing])
def test_an_event_moves_no_reset_of_another_account(deps, opened, owner, clock, kind):
    reset = opened(COOL_OFF if kind is TwoFactorResetCoolOffEnded else IMMEDIATE_BY_TWO)
    before = outcome(deps, reset)
    clock.turn(hours=80)
    events.handle(deps, kind(id="evt_1", occurred_at=clock(), account_id=owner.id, reset_id=reset.id))
    assert outcome(deps, reset) == before


# --- checks that no longer hold ---------------------------------------------------------------------------------------


def remove_phone(deps, account):
    from services.auth import phone
    from services.auth.consequences import Acting
    from tests.support.auth import CLIENT, sign_in

    phone.remove(deps, CLIENT, account, Acting(*sign_in(deps, account)))


def test_checks_are_held_against_the_facts_at_the_approval(deps, api, opened, ann, sue, make_account):
    reset = opened(["phone_code", "email_code", "billing_details"])
    assert reset.rule == "phone_and_billing"
    waiting = opened_by_two(deps, make_account)
    account, second = waiting
    remove_phone(deps, fresh(deps, account))
    with writing(deps.database) as connection:
        timeline.write(connection, account.id, Entry.RESET_APPLIED, deps.clock())
    answer = api(sue).post(f"/v1/support/accounts/{account.id}/two-factor-resets/{second.id}/approve")
    assert (answer.status_code, answer.json["code"]) == (422, "identity_checks_insufficient")
    assert outcome(deps, second) == (Status.ENDED, "checks_no_longer_hold")
    assert "no longer enough" in notices_in(deps)[-1].body


def opened_by_two(deps, make_account):
    from tests.support.auth import PHONE

    account = make_account("cara@example.com", phone=PHONE)
    deps.otp.enabled.add(account.id)
    operator = make_account("op9@latchkey.example", role=Role.SUPPORT, team="Support")
    return account, ceremony.request_reset(deps, operator, account, IMMEDIATE_BY_TWO)


def test_checks_are_held_against_the_facts_at_the_application(deps, opened, of_type, ann, clock):
    reset = opened(COOL_OFF)
    (ended,) = of_type(TwoFactorResetCoolOffEnded)
    remove_phone(deps, ann)
    clock.turn(hours=1)
    events.handle(deps, ended)
    assert outcome(deps, reset) == (Status.ENDED, "checks_no_longer_hold")
    assert of_type(TwoFactorResetApproved) == []


# --- the people behind it ---------------------------------------------------------------------------------------------

OWNER_AND_EMAIL = ["email_code", "owner_approval"]


@pytest.fixture
def otto(make_account):
    """A third owner, without a second factor."""
    return make_account("otto@example.com", role=Role.OWNER)


@pytest.fixture
def approve(api):
    def approve(operator, reset):
        return api(operator).post(f"/v1/support/accounts/{reset.account_id}/two-factor-resets/{reset.id}/approve")

    return approve


@pytest.fixture
def offered(api):
    """What the console offers to an operator."""

    def offered(operator, reset):
        shown = api(operator).get(f"/v1/support/two-factor-resets/{reset.id}").json
        listed = api(operator).get("/v1/support/two-factor-resets").json["items"]
        (row,) = [row for row in listed if row["id"] == reset.id]
        assert row["may_approve"] == shown["may_approve"]
        assert row["may_not_approve_because"] == shown["may_not_approve_because"]
        return shown["may_approve"], shown["may_not_approve_because"]

    return offered


def give_role(deps, account, role):
    with writing(deps.database) as connection:
        accounts.set_role(connection, account.id, role)


def lose_role(deps, otp, account):
    give_role(deps, account, Role.MEMBER)


def lose_factor(deps, otp, account):
    otp.enabled.remove(account.id)


@pytest.mark.parametrize("lose", [lose_role, lose_factor])
def test_an_owners_approval_is_void_when_the_owner_could_no_longer_give_it(
    deps, opened, approve, offered, otp, olivia, otto, sue, lose
):
    reset = opened(OWNER_AND_EMAIL)
    assert offered(sue, reset) == (True, None)
    lose(deps, otp, olivia)
    assert offered(sue, reset) == (False, "identity_checks_insufficient")
    answer = approve(sue, reset)
    assert (answer.status_code, answer.json["code"]) == (422, "identity_checks_insufficient")
    assert outcome(deps, reset) == (Status.ENDED, "checks_no_longer_hold")


def test_an_owners_approval_stands_without_any_other_owner(deps, opened, approve, olivia, otto, sue):
    reset = opened(OWNER_AND_EMAIL)
    assert approve(sue, reset).status_code == 202
    assert outcome(deps, reset) == (Status.APPROVED, None)


def test_an_owners_approval_is_held_against_the_roles_at_the_application(
    deps, opened, approve, of_type, ann, olivia, otto, sue, clock
):
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.RESET_APPLIED, clock())
    reset = opened(OWNER_AND_EMAIL)
    assert reset.rule == "unsettled_account"
    assert approve(sue, reset).json["status"] == "cooling_off"
    give_role(deps, olivia, Role.MEMBER)
    clock.turn(hours=3)
    events.handle(deps, of_type(TwoFactorResetCoolOffEnded)[-1])
    assert outcome(deps, reset) == (Status.ENDED, "checks_no_longer_hold")
    assert of_type(TwoFactorResetApproved) == []


def test_an_owner_who_approved_the_check_does_not_approve_the_reset_as_an_operator(
    deps, opened, approve, offered, olivia, otto
):
    reset = opened(OWNER_AND_EMAIL)
    give_role(deps, olivia, Role.SUPPORT)
    assert offered(olivia, reset) == (False, "same_operator")
    answer = approve(olivia, reset)
    assert (answer.status_code, answer.json["code"]) == (409, "same_operator")
    assert outcome(deps, reset) == (Status.AWAITING_APPROVAL, None)


def test_the_request_of_a_former_operator_ends(deps, opened, approve, offered, sam, sue):
    reset = opened(IMMEDIATE_BY_TWO)
    give_role(deps, sam, Role.MEMBER)
    assert offered(sue, reset) == (False, "operator_gone")
    answer = approve(sue, reset)
    assert (answer.status_code, answer.json["code"]) == (409, "operator_gone")
    assert outcome(deps, reset) == (Status.ENDED, "operator_gone")
    assert "is no longer an operator" in notices_in(deps)[-1].body


def test_the_first_approval_of_a_former_operator_ends_the_reset(deps, approve, offered, sam, sue, otp, make_operator):
    otp.enabled.add(sam.id)
    second, third = make_operator("op2@latchkey.example"), make_operator("op3@latchkey.example")
    reset = ceremony.request_reset(deps, sue, sam, IMMEDIATE_BY_TWO)
    assert approve(second, reset).json["approvals_missing"] == 1
    give_role(deps, second, Role.MEMBER)
    assert offered(third, reset) == (False, "operator_gone")
    assert approve(third, reset).json["code"] == "operator_gone"
    assert outcome(deps, reset) == (Status.ENDED, "operator_gone")


@pytest.mark.parametrize("who", ["asked", "approved"])
def test_operators_are_looked_at_again_at_the_application(deps, opened, approve, of_type, sam, sue, clock, who):
    reset = opened(COOL_OFF_BY_TWO)
    approve(sue, reset)
    give_role(deps, sam if who == "asked" else sue, Role.MEMBER)
    clock.turn(hours=3)
    events.handle(deps, of_type(TwoFactorResetCoolOffEnded)[-1])
    assert outcome(deps, reset) == (Status.ENDED, "operator_gone")
    assert of_type(TwoFactorResetApproved) == []


# --- the owner is in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checks", [IMMEDIATE_BY_TWO, COOL_OFF])
@pytest.mark.parametrize("factor", [Factor.TOTP, Factor.RECOVERY_CODE])
def test_the_owners_code_ends_a_reset_of_a_lost_factor(deps, opened, ann, checks, factor):
    reset = opened(checks)
    prove(deps, ann, factor)
    assert outcome(deps, reset) == (Status.ENDED, "owner_signed_in")
    assert "You signed in with a code" in notices_in(deps)[-1].body


@pytest.mark.parametrize("factor", [Factor.PASSWORD, Factor.SMS, Factor.TRUSTED_DEVICE])
def test_no_weaker_proof_ends_it(deps, opened, ann, factor):
    reset = opened(COOL_OFF)
    prove(deps, ann, factor)
    assert outcome(deps, reset) == (Status.COOLING_OFF, None)


def test_a_stolen_factor_cannot_end_the_reset_and_a_backup_code_can(deps, opened, ann):
    reset = opened(COOL_OFF, ReasonKind.STOLEN)
    for factor in (Factor.TOTP, Factor.SMS):
        with pytest.raises(Refusal, match="invalid_passcode"):
            prove(deps, ann, factor)
    assert outcome(deps, reset) == (Status.COOLING_OFF, None)
    prove(deps, ann, Factor.RECOVERY_CODE)
    assert outcome(deps, reset) == (Status.ENDED, "owner_signed_in")


def test_without_a_reset_a_code_ends_nothing(deps, ann):
    prove(deps, ann, Factor.TOTP)
    assert timeline_of(deps, ann) == []


@pytest.mark.parametrize("kind", [AuthenticatorEnrolled, TwoFactorDisabled])
def test_a_change_of_2fa_ends_a_reset_from_before_it(deps, opened, ann, clock, kind):
    reset = opened(COOL_OFF)
    clock.turn(seconds=10)
    extra = {"authenticator_id": "enr_2"} if kind is AuthenticatorEnrolled else {}
    events.handle(deps, kind(id="evt_1", occurred_at=clock(), account_id=ann.id, **extra))
    assert outcome(deps, reset) == (Status.ENDED, "two_factor_changed")


@pytest.mark.parametrize(
    ("kind", "factors"),
    [(ReasonKind.LOST, ("recovery_code", "totp")), (ReasonKind.STOLEN, ("recovery_code",))],
)
def test_an_approved_reset_names_the_factors_that_still_end_it(opened, of_type, kind, factors):
    opened(IMMEDIATE, kind)
    assert [message.ended_by for message in of_type(TwoFactorResetApproved)] == [factors]


def test_an_approved_reset_whose_owner_is_in_ends_as_any_other(deps, opened, ann, clock):
    reset = opened(IMMEDIATE)
    told = TwoFactorResetFoundNothing(
        id="e", occurred_at=clock(), account_id=ann.id, reset_id=reset.id, factor=Factor.TOTP
    )
    events.handle(deps, told)
    assert outcome(deps, reset) == (Status.ENDED, "owner_signed_in")
    assert "You signed in with a code" in notices_in(deps)[-1].body
    assert timeline_of(deps, ann)[-1].details["because"] == "owner_signed_in"
    assert not fresh(deps, ann).enrollment_prompted


def test_a_change_of_2fa_from_before_the_request_leaves_it(deps, opened, ann, clock):
    enrolled = AuthenticatorEnrolled(id="evt_1", occurred_at=clock(), account_id=ann.id, authenticator_id="enr_1")
    clock.turn(seconds=10)
    reset = opened(COOL_OFF)
    events.handle(deps, enrolled)
    assert outcome(deps, reset) == (Status.COOLING_OFF, None)


def test_a_reset_that_found_nothing_to_remove_ends_without_a_word_on_removal(deps, opened, ann, clock):
    reset = opened(IMMEDIATE)
    nothing = TwoFactorResetFoundNothing(id="evt_1", occurred_at=clock(), account_id=ann.id, reset_id=reset.id)
    events.handle(deps, nothing)
    assert outcome(deps, reset) == (Status.ENDED, "nothing_to_remove")
    assert not fresh(deps, ann).enrollment_prompted


def test_a_reset_that_finds_2fa_removed_by_another_one_leaves_the_prompt_to_enrol(deps, api, sam, ann, otp, clock):
    """The command line reads what otp has; before it commits, another reset is applied."""
    other = ceremony.request_reset(deps, sam, ann, IMMEDIATE)
    clock.turn(seconds=1)
    applied = TwoFactorResetApplied(id="e1", occurred_at=clock(), account_id=ann.id, reset_id=other.id)
    otp.after_state = lambda: events.handle(deps, applied)
    late = resets.request_from_command_line(deps, CLIENT, ann, ResetRequest("T", "r")).reset
    otp.enabled.discard(ann.id)
    events.handle(deps, TwoFactorResetFoundNothing(id="e2", occurred_at=clock(), account_id=ann.id, reset_id=late.id))
    assert outcome(deps, late) == (Status.ENDED, "nothing_to_remove")
    assert problem(api(ann, Factor.PASSWORD).post("/v1/two-factor/enrollment")) == (422, "enrollment_word_required")


# --- stolen -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checks", [IMMEDIATE_BY_TWO, COOL_OFF_BY_TWO, COOL_OFF])
def test_a_stolen_factor_is_suspended_from_the_request_on(opened, of_type, checks):
    reset = opened(checks, ReasonKind.STOLEN)
    (suspended,) = of_type(AuthenticatorsSuspended)
    assert (suspended.reset_id, suspended.authenticators) == (reset.id, ("enr_1",))


@pytest.mark.parametrize("approved", [False, True])
def test_what_a_stolen_factor_has_opened_is_closed(deps, api, opened, approve, ann, sue, approved):
    caller = api(ann)
    if approved:
        reset = opened(COOL_OFF_BY_TWO, ReasonKind.STOLEN)
        caller = api(ann)  # before otp's worker came to the suspension
        approve(sue, reset)
    else:
        reset = opened(COOL_OFF_BY_TWO, ReasonKind.STOLEN)
    assert caller.delete("/v1/two-factor").json["code"] == "step_up_required"
    assert outcome(deps, reset) == (Status.COOLING_OFF if approved else Status.AWAITING_APPROVAL, None)


@pytest.mark.parametrize(("kind", "is_told"), [(ReasonKind.LOST, False), (ReasonKind.STOLEN, True)])
def test_the_owner_is_told_what_is_refused_meanwhile(deps, opened, ann, kind, is_told):
    opened(COOL_OFF_BY_TWO, kind)
    (mail,) = [notice.body for notice in notices_in(deps)[-2:] if notice.recipient == ann.email]
    assert ("codes of your app and texted codes are refused. A backup code is accepted and stops it" in mail) == is_told


def test_a_stolen_factor_is_reinstated_when_nobody_approves(deps, opened, of_type, clock):
    reset = opened(IMMEDIATE_BY_TWO, ReasonKind.STOLEN)
    clock.turn(hours=72)
    events.handle(deps, of_type(TwoFactorResetApprovalLapsed)[-1])
    assert [message.reset_id for message in of_type(AuthenticatorsReinstated)] == [reset.id]


@pytest.fixture
def logins_count(app, deps):
    """A login with a code makes the account unsettled for a day, as in production."""
    times = replace(deps.settings.reset_times, code_login=timedelta(days=1))
    real = replace(deps, settings=replace(deps.settings, reset_times=times))
    app.extensions["latchkey"] = real
    return real


def signed_in_with_a_code(deps, account):
    with writing(deps.database) as connection:
        timeline.write(connection, account.id, Entry.SIGNED_IN, deps.clock(), factors=["password", "sms"])


@pytest.mark.parametrize(
    ("kind", "found"), [(ReasonKind.LOST, (Status.ENDED, "checks_no_longer_hold")), (ReasonKind.STOLEN, None)]
)
@pytest.mark.parametrize("checks", [IMMEDIATE_BY_TWO, COOL_OFF])
def test_a_thiefs_login_does_not_end_the_reset_of_what_was_stolen(
    logins_count, opened, approve, offered, of_type, ann, sue, clock, checks, kind, found
):
    reset = opened(checks, kind)
    clock.turn(minutes=1)
    signed_in_with_a_code(logins_count, ann)
    if checks is COOL_OFF:
        clock.turn(hours=1)
        events.handle(logins_count, of_type(TwoFactorResetCoolOffEnded)[-1])
    else:
        assert offered(sue, reset)[0] == (found is None)
        approve(sue, reset)
    assert outcome(logins_count, reset) == (found or (Status.APPROVED, None))


@pytest.fixture
def unsettled_reset(deps, logins_count, sam, ann, olivia, clock):
    """A reset whose pair of checks no settled account offers; Ann signed in with a code twelve hours before."""
    signed_in_with_a_code(deps, ann)
    clock.turn(hours=12)
    reset = ceremony.request_reset(logins_count, sam, ann, ["owner_approval", "video_id"])
    assert reset.rule == "unsettled_account"
    return reset


def test_a_login_that_has_become_a_day_old_does_not_end_the_reset_at_its_approval(
    deps, unsettled_reset, approve, offered, sue, clock
):
    clock.turn(hours=13)
    assert offered(sue, unsettled_reset) == (True, None)
    assert approve(sue, unsettled_reset).json["status"] == "cooling_off"


def test_a_login_that_has_become_a_day_old_does_not_end_the_reset_at_its_application(
    deps, logins_count, unsettled_reset, approve, of_type, sue, clock
):
    approve(sue, unsettled_reset)
    clock.turn(hours=72)
    events.handle(logins_count, of_type(TwoFactorResetCoolOffEnded)[-1])
    assert outcome(deps, unsettled_reset) == (Status.APPROVED, None)


def test_a_login_before_the_request_unsettles_the_reset_of_what_was_stolen(deps, logins_count, sam, ann, clock):
    signed_in_with_a_code(deps, ann)
    clock.turn(minutes=1)
    reset = ceremony.request_reset(logins_count, sam, ann, IMMEDIATE, ReasonKind.STOLEN)
    assert (reset.rule, reset.status) == ("unsettled_account", Status.AWAITING_APPROVAL)


def test_a_step_up_that_ends_one_operators_reset_unsettles_the_account_for_the_next(
    deps, logins_count, api, otp, mia, sam, sue
):
    ceremony.pass_checks(logins_count, sue, mia, IMMEDIATE)
    reset = ceremony.request_reset(logins_count, sam, mia, IMMEDIATE_BY_TWO)
    caller = api(mia)
    otp.expect(mia.id, "step_up", caller.session.id, factor="totp")
    assert caller.post("/v1/reauthenticate", {"password": PASSWORD, "code": "424242"}).status_code == 200
    assert outcome(deps, reset) == (Status.ENDED, "owner_signed_in")
    asked = {"ticket": "T", "reason": "lost"}
    answer = api(sue).post(f"/v1/support/accounts/{mia.id}/two-factor-resets", asked)
    assert (answer.json["rule"], answer.json["status"]) == ("unsettled_account", "awaiting_approval")


def test_a_thiefs_step_up_does_not_end_the_reset_of_what_was_stolen(
    deps, logins_count, opened, approve, ann, sue, clock
):
    reset = opened(IMMEDIATE_BY_TWO, ReasonKind.STOLEN)
    clock.turn(minutes=1)
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.STEPPED_UP, clock(), factors=["password", "sms"])
    approve(sue, reset)
    assert outcome(deps, reset) == (Status.APPROVED, None)


def test_a_lost_factor_is_not_suspended(opened, of_type):
    opened(COOL_OFF)
    assert of_type(AuthenticatorsSuspended) == []


def test_a_stolen_factor_is_reinstated_by_a_cancel(deps, api, opened, of_type, ann):
    reset = opened(COOL_OFF, ReasonKind.STOLEN)
    token = notices_in(deps)[-1].body.partition("/reset/cancel#")[2].split()[0]
    assert api().post("/v1/two-factor/resets/cancel", {"token": token}).status_code == 204
    assert [message.reset_id for message in of_type(AuthenticatorsReinstated)] == [reset.id]


# --- from the decision to the event of the removal --------------------------------------------------------------------


def test_a_password_alone_enrols_and_changes_nothing_before_the_event_of_the_removal(deps, api, opened, otp, ann):
    opened(IMMEDIATE)
    otp.enabled.remove(ann.id)  # otp is done, and its event is on the way
    caller = api(ann, Factor.PASSWORD)
    assert caller.post("/v1/two-factor/enrollment").json["code"] == "enrollment_word_required"
    assert caller.delete("/v1/phone").json["code"] == "enrollment_required"


def test_until_the_removal_the_owner_is_refused_nothing(api, opened, ann):
    opened(IMMEDIATE)
    assert api(ann).delete("/v1/phone").status_code == 204


def test_a_removal_that_found_nothing_leaves_the_account_as_it_was(deps, opened, ann):
    reset = opened(IMMEDIATE)
    nothing = TwoFactorResetFoundNothing(id="e", occurred_at=deps.clock(), account_id=ann.id, reset_id=reset.id)
    events.handle(deps, nothing)
    assert not fresh(deps, ann).enrollment_prompted


@pytest.mark.parametrize("applied", [False, True])
def test_an_enrolment_that_is_told_late_does_not_lift_the_reset_of_it(deps, opened, ann, clock, applied):
    late = AuthenticatorEnrolled(id="e1", occurred_at=clock(), account_id=ann.id, authenticator_id="enr_1")
    reset = opened(IMMEDIATE)
    clock.turn(seconds=5)
    if applied:
        events.handle(deps, TwoFactorResetApplied(id="e2", occurred_at=clock(), account_id=ann.id, reset_id=reset.id))
    events.handle(deps, late)
    assert fresh(deps, ann).enrollment_prompted


# --- the enrolment word -----------------------------------------------------------------------------------------------


def usable(deps, reset):
    with reading(deps.database) as connection:
        query = "SELECT usable_from FROM enrollment_words WHERE id = ?"
        return connection.exec_driver_sql(query, (reset.enrollment_word_id,)).scalar_one() is not None


def test_the_word_becomes_usable_when_the_reset_is_applied(deps, opened, ann, clock):
    reset = opened(IMMEDIATE)
    assert not usable(deps, reset)
    events.handle(deps, TwoFactorResetApplied(id="e", occurred_at=clock(), account_id=ann.id, reset_id=reset.id))
    assert usable(deps, reset)


def test_a_lost_word_is_replaced_by_another_ceremony(deps, sam, ann, otp, opened, of_type, clock):
    first = opened(IMMEDIATE)
    otp.enabled.remove(ann.id)
    events.handle(deps, TwoFactorResetApplied(id="e", occurred_at=clock(), account_id=ann.id, reset_id=first.id))
    clock.turn(days=31)
    second = opened(IMMEDIATE)
    assert (second.status, second.authenticators) == (Status.APPLIED, [])
    assert usable(deps, second)
    assert len(of_type(TwoFactorResetApproved)) == 1
    assert "new one-time word" in notices_in(deps)[-1].body


def test_times_are_settings():
    from services.auth.settings import RESET_TIMES
    from tests.support.auth import settings

    for name, (variable, default, _minimum) in RESET_TIMES.items():
        assert getattr(settings(**{variable: "7"}).reset_times, name) == timedelta(seconds=7)
        assert default > 0


def test_the_command_line_resets_an_operator_at_once_and_prints_the_word(deps, sue, otp, of_type):
    otp.enabled.add(sue.id)
    opened = resets.request_from_command_line(deps, CLIENT, sue, ResetRequest("T-1", "phone lost"))
    assert (opened.reset.status, opened.reset.requested_by) == (Status.APPROVED, None)
    assert len(opened.enrollment_word.split()) == 3
    assert [message.authenticators for message in of_type(TwoFactorResetApproved)] == [("enr_1",)]
    assert timeline_of(deps, sue)[-1].actor == "operator:cli"
    assert notices_in(deps)[-1].recipient == sue.email
