"""A reset ends when nobody approves it, or when its checks or the people behind it no longer hold."""

import pytest

from services.auth import events
from services.auth.domain.account import Role
from services.auth.domain.reset import Status
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared.database import writing
from shared.messages import (
    TwoFactorResetApprovalLapsed,
    TwoFactorResetApproved,
    TwoFactorResetCoolOffEnded,
    TwoFactorResetFoundNothing,
)
from tests.support import ceremony
from tests.support.auth import fresh, notices_in, timeline_of
from tests.support.ceremony import COOL_OFF, COOL_OFF_BY_TWO, IMMEDIATE_BY_TWO
from tests.support.resets import give_role, lose_factor, lose_role, outcome

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
