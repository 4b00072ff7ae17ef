"""The owner's own proof, or a change of 2FA, ends a reset."""

import pytest

from services.auth import events, resets
from services.auth.domain.reset import ReasonKind, Status
from services.auth.domain.session import Factor
from services.auth.resets import ResetRequest
from shared.messages import (
    AuthenticatorEnrolled,
    TwoFactorDisabled,
    TwoFactorResetApplied,
    TwoFactorResetApproved,
    TwoFactorResetFoundNothing,
)
from shared.problems import Refusal
from tests.support import ceremony
from tests.support.auth import CLIENT, fresh, notices_in, timeline_of
from tests.support.ceremony import COOL_OFF, IMMEDIATE, IMMEDIATE_BY_TWO
from tests.support.resets import outcome, prove
from tests.support.sign_in import problem


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
