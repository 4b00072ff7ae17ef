"""After a restore: unlocks and resets that waited are void, and what was stolen stays suspended."""

from datetime import timedelta

import pytest

from services.auth import enrollment_words, unlocks
from services.auth.__main__ import give_role
from services.auth.domain.account import Role
from services.auth.domain.reset import EndedBecause, ReasonKind, Status
from services.auth.models import RESTORES
from services.auth.resets import ResetRequest, request_from_command_line
from services.auth.store import resets
from shared import restores
from shared.database import reading
from shared.messages import AuthenticatorsReinstated, AuthenticatorsSuspended, TwoFactorResetCoolOffEnded
from shared.problems import Refusal
from tests.support import ceremony
from tests.support.auth import CLIENT, events_in, fresh, notices_in
from tests.support.ceremony import COOL_OFF, COOL_OFF_BY_TWO, IMMEDIATE


def reset_of(deps, reset):
    with reading(deps.database) as connection:
        return resets.by_id(connection, reset.id)


def restore_of(deps, backup):
    with reading(deps.database) as connection:
        return restores.of_backup(connection, RESTORES, backup.taken_at)


@pytest.fixture
def unlock(deps, ann, sam, sue, otp):
    """A request of sam's that waits, and a call with which sue approves it."""
    for _ in range(4):
        asked = unlocks.request(deps, CLIENT, ceremony.at_console(deps, sam), ann.id, ticket="SUP-1", reason="Locked")
    otp.locked.add(ann.id)
    return lambda: unlocks.approve(deps, CLIENT, ceremony.at_console(deps, sue), ann.id, asked.id)


@pytest.mark.parametrize("in_the_gap", [True, False])
def test_an_unlock_that_waits_in_the_backup_is_void_whether_it_was_approved_in_the_gap_or_not(
    deps, ann, otp, backup, work, unlock, in_the_gap
):
    backup.take()
    if in_the_gap:
        unlock()
    backup.restore()
    assert (ann.id, "unlock_void") in work()
    otp.locked.add(ann.id)
    with pytest.raises(Refusal) as refused:
        unlock()
    assert (refused.value.code, otp.locked) == ("unlock_not_open", {ann.id})
    assert unlocks.open_of(deps, ann) is None


def test_an_unlock_that_waits_stays_open_where_otp_alone_was_restored(ann, otp, backup, work, unlock):
    backup.take()
    assert work("otp") == set()
    unlock()
    assert otp.locked == set()


@pytest.mark.parametrize("checks", [COOL_OFF, COOL_OFF_BY_TWO, IMMEDIATE])
def test_what_was_reported_stolen_stays_suspended_and_support_can_ask_for_the_reset_anew(
    deps, ann, sam, backup, work, checks
):
    reset = ceremony.request_reset(deps, sam, ann, checks, ReasonKind.STOLEN)
    backup.take()
    backup.restore()
    assert (ann.id, "stolen_reset_void") in work()
    (order,) = [one for one in events_in(deps) if one.account_id == ann.id]
    assert isinstance(order, AuthenticatorsSuspended)
    assert (order.reset_id, order.voided_by) == (reset.id, restore_of(deps, backup).id)
    assert "contact support" in notices_in(deps)[-1].body
    anew = ceremony.request_reset(deps, sam, ann, checks, ReasonKind.STOLEN)
    assert anew.id != reset.id


@pytest.mark.parametrize("checks", [COOL_OFF, COOL_OFF_BY_TWO])
def test_what_was_reported_stolen_is_suspended_again_where_otp_alone_was_restored(
    deps, ann, tom, sam, backup, work, otp, checks
):
    otp.enabled.add(tom.id)
    backup.take()
    reset = ceremony.request_reset(deps, sam, ann, checks, ReasonKind.STOLEN)
    ceremony.request_reset(deps, sam, tom, COOL_OFF_BY_TWO, ReasonKind.LOST)
    work("otp")
    suspensions = [one.reset_id for one in events_in(deps) if isinstance(one, AuthenticatorsSuspended)]
    assert suspensions == [reset.id, reset.id]
    assert reset_of(deps, reset).status is reset.status


def test_an_approved_removal_is_void_where_otp_alone_was_restored_and_the_owner_is_told(deps, ann, sam, backup, work):
    backup.take()
    reset = ceremony.request_reset(deps, sam, ann, IMMEDIATE)
    assert work("otp") == {(ann.id, "reset_void")}
    assert (reset_of(deps, reset).status, reset_of(deps, reset).ended_because) == (Status.ENDED, EndedBecause.RESTORED)
    assert not fresh(deps, ann).enrollment_prompted
    assert "was cancelled" in notices_in(deps)[-1].body
    assert ceremony.request_reset(deps, sam, ann, IMMEDIATE).id != reset.id


def test_an_approved_removal_of_what_was_stolen_is_void_where_otp_alone_was_restored_and_leaves_it_suspended(
    deps, ann, sam, backup, work
):
    backup.take()
    ceremony.request_reset(deps, sam, ann, IMMEDIATE, ReasonKind.STOLEN)
    assert work("otp") == {(ann.id, "stolen_reset_void")}
    last = [one for one in events_in(deps) if isinstance(one, AuthenticatorsSuspended)][-1]
    assert last.voided_by == restore_of(deps, backup).id


@pytest.mark.parametrize("parts", [("auth",), ("otp",), ("auth", "otp")])
def test_what_a_cancelled_or_ended_reset_had_suspended_is_accepted_again(deps, api, ann, sam, backup, work, parts):
    """otp may be from before the end, and a suspension of before may be delivered once more."""
    reset = ceremony.request_reset(deps, sam, ann, COOL_OFF, ReasonKind.STOLEN)
    assert api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset.id}/cancel").status_code == 200
    backup.take()
    work(*parts)
    again = [(type(one), one.reset_id) for one in events_in(deps) if one.occurred_at == deps.clock()]
    assert again == [(AuthenticatorsReinstated, reset.id)]


def test_what_a_void_reset_had_suspended_stays_suspended_after_a_second_restore(deps, ann, sam, backup, work, clock):
    ceremony.request_reset(deps, sam, ann, COOL_OFF, ReasonKind.STOLEN)
    backup.take()
    work("auth")
    backup.taken_at = clock()
    clock.turn(minutes=10)
    work("auth", "otp")
    assert not any(isinstance(one, AuthenticatorsReinstated) for one in events_in(deps))


def test_orders_of_void_resets_are_withdrawn_where_they_are_younger_than_the_oldest_backup(
    deps, ann, sam, backup, work
):
    ceremony.request_reset(deps, sam, ann, COOL_OFF)
    assert [type(one) for one in events_in(deps)] == [TwoFactorResetCoolOffEnded]
    backup.take()
    backup.taken_at -= timedelta(hours=1)
    backup.restore()
    work()
    assert events_in(deps) == []


def test_a_removal_that_is_void_now_asks_for_no_enrolment_by_itself(deps, ann, sam, backup, work):
    ceremony.request_reset(deps, sam, ann, IMMEDIATE)
    backup.take()
    backup.restore()
    assert (ann.id, "reset_void") in work()
    assert not fresh(deps, ann).enrollment_prompted


def test_a_new_operator_whose_removal_a_restore_voids_must_still_enrol(deps, ann, backup, work):
    give_role(deps, deps.otp, ann, Role.SUPPORT)
    request_from_command_line(deps, CLIENT, ann, ResetRequest("T-1", "new operator"))
    backup.take()
    backup.restore()
    assert (ann.id, "reset_void") in work()
    assert fresh(deps, ann).enrollment_prompted


def test_a_new_operator_owes_the_enrolment_when_the_promotion_comes_from_the_journal(deps, ann, backup, work):
    backup.take()
    give_role(deps, deps.otp, ann, Role.SUPPORT)
    backup.restore()
    work()
    with reading(deps.database) as connection:
        assert enrollment_words.owes_enrollment(connection, fresh(deps, ann))
