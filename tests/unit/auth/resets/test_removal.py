"""From the decision to the removal, and the word with which the owner enrolls."""

from datetime import timedelta

import pytest

from services.auth import events, resets
from services.auth.domain.reset import Status
from services.auth.domain.session import Factor
from services.auth.resets import ResetRequest
from shared.database import reading
from shared.messages import (
    AuthenticatorEnrolled,
    TwoFactorResetApplied,
    TwoFactorResetApproved,
    TwoFactorResetFoundNothing,
)
from tests.support.auth import CLIENT, fresh, notices_in, timeline_of
from tests.support.ceremony import IMMEDIATE

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
