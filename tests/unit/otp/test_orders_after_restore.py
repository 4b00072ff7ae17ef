"""After a restore: an approval that auth recorded before it removes nothing, and what only ends or refuses acts."""

from dataclasses import replace

import pytest

from services.otp.tasks import handle
from shared.messages import (
    OTP_EVENTS,
    AuthenticatorsReinstated,
    AuthenticatorsSuspended,
    OpenThingsEnded,
    SessionEnded,
    TwoFactorResetApproved,
)
from shared.signed_messages import Gate
from tests.support.otp import ACCOUNT
from tests.support.signing import VERIFIER, signed

DATABASES = [("auth",), ("otp",), ("auth", "otp"), ("auth", "otp", "redis")]
RESET = {"account_id": ACCOUNT, "reset_id": "rst_1"}


@pytest.fixture
def order(world):
    """An order about what is active, recorded at this moment."""

    def make(kind, message_id="msg_1", **members):
        if kind in {TwoFactorResetApproved, AuthenticatorsSuspended}:
            members["authenticators"] = tuple(one["id"] for one in world.state()["authenticators"])
        members = {name: value for name, value in (RESET | members).items() if value is not None}
        return kind(id=message_id, occurred_at=world.clock(), **members)

    return make


@pytest.fixture
def deliver(world):
    return lambda message: handle(world.worker_deps, Gate(OTP_EVENTS, VERIFIER, world.clock), signed(message))


@pytest.fixture
def restored(world, backup, work):
    """A restore of these, an hour after the backup; the next app code is good again."""

    def run(*parts):
        backup.taken_at = backup.taken_at or world.clock()
        world.clock.turn(hours=1)
        work(*parts, entries=[])
        world.clock.turn(minutes=2)

    return run


def begun_by(world, session_id):
    return world.account("POST", "enrollments", {"label": "ann", "session_id": session_id})


@pytest.mark.parametrize("parts", DATABASES)
def test_a_removal_that_was_approved_before_a_restore_removes_nothing_and_is_reported(
    world, order, deliver, restored, parts
):
    world.enrol()
    approved = order(TwoFactorResetApproved)
    restored(*parts)
    for _ in range(2):
        deliver(approved)
    assert world.verify(world.code()).status_code == 200
    (told,) = world.events()
    assert (told["type"], told["reset_id"]) == ("two_factor.reset_found_nothing", "rst_1")


def test_a_removal_that_is_approved_after_a_restore_removes(world, order, deliver, restored):
    world.enrol()
    restored("auth", "otp")
    deliver(order(TwoFactorResetApproved))
    assert world.state()["enabled"] is False


def test_a_removal_that_was_approved_before_redis_alone_was_put_back_removes(world, order, deliver, restored):
    world.enrol()
    approved = order(TwoFactorResetApproved)
    restored("redis")
    deliver(approved)
    assert world.state()["enabled"] is False


def test_a_removal_of_before_an_earlier_restore_removes_nothing_after_one_of_redis(
    world, order, deliver, restored, backup
):
    world.enrol()
    approved = order(TwoFactorResetApproved)
    restored("auth")
    backup.taken_at = world.clock()
    restored("redis")
    deliver(approved)
    assert world.state()["enabled"] is True


@pytest.mark.parametrize("parts", DATABASES)
def test_a_suspension_of_before_a_restore_refuses(world, order, deliver, restored, parts):
    world.enrol()
    suspended = order(AuthenticatorsSuspended)
    restored(*parts)
    deliver(suspended)
    assert world.verify(world.code()).json["code"] == "invalid_passcode"


@pytest.mark.parametrize("parts", DATABASES)
def test_the_end_of_a_suspension_acts_although_it_is_from_before_a_restore(world, order, deliver, restored, parts):
    world.enrol()
    deliver(order(AuthenticatorsSuspended))
    reinstated = order(AuthenticatorsReinstated, "msg_2")
    restored(*parts)
    deliver(reinstated)
    assert world.verify(world.code()).status_code == 200


@pytest.mark.parametrize("parts", DATABASES)
def test_the_end_of_a_session_of_before_a_restore_ends_its_enrolment(world, order, deliver, restored, parts):
    ended = order(SessionEnded, session_id="ses_1", reset_id=None)
    restored(*parts)
    assert begun_by(world, "ses_1").status_code == 201
    deliver(ended)
    assert begun_by(world, "ses_1").json["code"] == "session_ended"


@pytest.mark.parametrize("parts", DATABASES)
def test_the_end_of_open_things_of_before_a_restore_ends_texted_codes(world, order, deliver, restored, parts):
    world.enrol()
    ended = order(OpenThingsEnded, reset_id=None)
    restored(*parts)
    world.send_sms()
    deliver(ended)
    assert world.redis.keys("otp:sms:*") == []


@pytest.mark.parametrize("late_first", [True, False])
def test_an_app_whose_reset_a_restore_has_voided_stays_suspended_whatever_auth_ordered_before(
    world, order, deliver, restored, late_first
):
    world.enrol()
    suspended, reinstated = order(AuthenticatorsSuspended), order(AuthenticatorsReinstated, "msg_2")
    void = replace(suspended, id="msg_3", voided_by="rto_1")
    restored("auth")
    late = (suspended, reinstated)
    for message in (*late, void) if late_first else (void, *late):
        deliver(message)
    assert world.verify(world.code()).json["code"] == "invalid_passcode"


@pytest.mark.parametrize("in_order", [True, False])
def test_an_app_that_otp_had_accepted_again_before_auth_alone_was_restored_stays_accepted(
    world, order, deliver, restored, in_order
):
    world.enrol()
    before = [order(AuthenticatorsSuspended), order(AuthenticatorsReinstated, "msg_2")]
    for message in before if in_order else reversed(before):
        deliver(message)
    restored("auth")
    deliver(order(AuthenticatorsSuspended, "msg_3", voided_by="rto_1"))
    assert world.verify(world.code()).status_code == 200


def test_an_app_that_otp_had_accepted_again_is_suspended_where_otp_was_restored_to_a_backup_of_before(
    world, order, deliver, restored, backup
):
    world.enrol()
    deliver(order(AuthenticatorsSuspended))
    backup.take()
    deliver(order(AuthenticatorsReinstated, "msg_2"))
    backup.restore()
    restored("auth", "otp")
    deliver(order(AuthenticatorsSuspended, "msg_3", voided_by="rto_1"))
    assert world.verify(world.code()).json["code"] == "invalid_passcode"


@pytest.mark.parametrize("late_first", [True, False])
def test_an_app_that_was_suspended_before_auth_was_restored_stays_suspended_although_its_end_comes_late(
    world, order, deliver, restored, late_first
):
    world.enrol()
    deliver(order(AuthenticatorsSuspended))
    reinstated = order(AuthenticatorsReinstated, "msg_2")
    restored("auth")
    void = order(AuthenticatorsSuspended, "msg_3", voided_by="rto_1")
    world.clock.turn(minutes=2)
    for message in (reinstated, void) if late_first else (void, reinstated):
        deliver(message)
    assert world.verify(world.code()).json["code"] == "invalid_passcode"


def test_a_void_suspension_that_is_delivered_again_does_not_undo_the_end_of_a_later_reset(world, order, deliver):
    world.enrol()
    void = order(AuthenticatorsSuspended, voided_by="rto_1")
    deliver(void)
    deliver(order(AuthenticatorsSuspended, "msg_2", reset_id="rst_2"))
    deliver(order(AuthenticatorsReinstated, "msg_3", reset_id="rst_2"))
    deliver(void)
    assert world.verify(world.code()).status_code == 200
