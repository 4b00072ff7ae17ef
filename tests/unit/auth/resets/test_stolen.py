"""A factor that was stolen is suspended, and does not end its reset."""

import pytest

from services.auth import events
from services.auth.domain.reset import ReasonKind, Status
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared.database import writing
from shared.messages import (
    AuthenticatorsReinstated,
    AuthenticatorsSuspended,
    TwoFactorResetApprovalLapsed,
    TwoFactorResetCoolOffEnded,
)
from tests.support import ceremony
from tests.support.auth import PASSWORD, notices_in
from tests.support.ceremony import COOL_OFF, COOL_OFF_BY_TWO, IMMEDIATE, IMMEDIATE_BY_TWO
from tests.support.resets import outcome, signed_in_with_a_code


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
    assert ("we refuse codes from your app and by SMS. A backup code still works and stops it" in mail) == is_told


def test_a_stolen_factor_is_reinstated_when_nobody_approves(deps, opened, of_type, clock):
    reset = opened(IMMEDIATE_BY_TWO, ReasonKind.STOLEN)
    clock.turn(hours=72)
    events.handle(deps, of_type(TwoFactorResetApprovalLapsed)[-1])
    assert [message.reset_id for message in of_type(AuthenticatorsReinstated)] == [reset.id]


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
