from dataclasses import replace

import pytest
from sqlalchemy import event, select

from services.otp import reset
from services.otp.models import authenticators, recovery_codes
from services.otp.tasks import handle, register_tasks
from shared.brokers import VISIBILITY_TIMEOUT_SECONDS
from shared.clock import parse_rfc3339
from shared.database import reading
from shared.envelope import open_envelope
from shared.messages import (
    OTP_EVENTS,
    QUEUES,
    ROUTES,
    AuthenticatorsReinstated,
    AuthenticatorsSuspended,
    TwoFactorDisabled,
    TwoFactorResetApproved,
    UnreadableMessage,
)
from shared.queueing import RETRY_SECONDS, make_celery
from shared.secret import Secret
from shared.signed_messages import Gate
from tests.support.otp import ACCOUNT, World
from tests.support.signing import VERIFIER, signed


def gate_of(world: World):
    return Gate(OTP_EVENTS, VERIFIER, world.clock)


def active(world: World, account=ACCOUNT):
    return tuple(one["id"] for one in world.state(account)["authenticators"])


def approved(world: World, message_id="evt_1", reset_id="rst_1", named=None):
    """The event that names what is active at this moment, unless said otherwise."""
    return TwoFactorResetApproved(
        id=message_id,
        occurred_at=world.clock(),
        account_id=ACCOUNT,
        reset_id=reset_id,
        authenticators=active(world) if named is None else named,
    )


def suspended(world: World, reset_id="rst_1"):
    return AuthenticatorsSuspended(
        id="msg_1", occurred_at=world.clock(), account_id=ACCOUNT, reset_id=reset_id, authenticators=active(world)
    )


def reinstated(world: World, reset_id="rst_1"):
    return AuthenticatorsReinstated(id="msg_2", occurred_at=world.clock(), account_id=ACCOUNT, reset_id=reset_id)


def test_it_wipes_everything_and_reports_it(world: World):
    world.enrol()
    world.give_recovery_codes()
    login = world.send_sms().json["message_id"]
    proof = world.send_sms(purpose="phone_verification").json["message_id"]
    reset.apply(world.worker_deps, approved(world))
    with reading(world.database) as connection:
        row = connection.execute(select(authenticators)).one()
        assert (row.status, row.ciphertext) == ("REVOKED", None)
        assert connection.execute(select(recovery_codes)).all() == []
    assert all(world.redis.get(f"notify:sealed:{message_id}") is None for message_id in (login, proof))
    assert world.redis.keys("otp:sms*") == []
    told = world.events()[-1]
    assert (told["type"], told["account_id"], told["reset_id"]) == ("two_factor.reset_applied", ACCOUNT, "rst_1")
    assert world.state()["enabled"] is False


def test_its_time_is_after_the_last_use_of_what_it_wipes(world: World):
    """The gateway ends the sessions from before that time."""
    world.enrol()

    def take_a_second(*_):
        world.clock.turn(seconds=1)

    event.listen(world.database, "after_cursor_execute", take_a_second)
    reset.apply(world.worker_deps, approved(world))
    event.remove(world.database, "after_cursor_execute", take_a_second)
    with reading(world.database) as connection:
        revoked_at = connection.execute(select(authenticators.c.revoked_at)).scalar_one()
    assert parse_rfc3339(world.events()[-1]["occurred_at"]) > revoked_at


def test_it_reports_also_when_nothing_was_on(world: World):
    reset.apply(world.worker_deps, approved(world, named=("enr_gone",)))
    assert world.event_types() == ["two_factor.reset_found_nothing"]


def test_delivered_twice_it_acts_once(world: World):
    world.enrol()
    reset.apply(world.worker_deps, approved(world))
    world.enrol()  # the user has enrolled again when the same message comes once more
    message_id = world.send_sms().json["message_id"]
    reset.apply(world.worker_deps, approved(world))
    assert world.verify(world.code()).status_code == 200
    assert world.redis.get(f"notify:sealed:{message_id}") is not None
    assert world.event_types() == ["two_factor.reset_applied"]


def test_a_second_reset_is_another_message(world: World):
    world.enrol()
    reset.apply(world.worker_deps, approved(world))
    world.enrol()
    reset.apply(world.worker_deps, approved(world, "evt_2", "rst_2"))
    assert world.state()["enabled"] is False
    assert [told["reset_id"] for told in world.events()] == ["rst_1", "rst_2"]


def test_it_lifts_the_lock(world: World):
    world.enrol()
    for _ in range(3):
        world.verify(world.wrong_code())
    world.settle()
    world.clock.turn(seconds=1)
    reset.apply(world.worker_deps, approved(world))
    assert world.state()["consecutive_failures"] == 0
    assert world.redis.keys("budget:otp.verify.*") == []


def test_with_redis_down_nothing_is_done_and_a_later_delivery_does_all(world: World, redis_server):
    world.enrol()
    redis_server.connected = False
    with pytest.raises(Exception, match="connect"):
        reset.apply(world.worker_deps, approved(world))
    assert world.event_types() == []
    redis_server.connected = True
    assert world.state()["enabled"] is True
    reset.apply(world.worker_deps, approved(world))
    assert world.state()["enabled"] is False
    assert world.event_types() == ["two_factor.reset_applied"]


def test_another_accounts_2fa_stays(world: World):
    world.enrol("acc_bob")
    reset.apply(world.worker_deps, approved(world))
    assert world.state("acc_bob")["enabled"] is True


@pytest.mark.parametrize(
    "document", [None, [], "x", {"type": "no.such"}, {"type": "two_factor.reset_approved", "version": 1}]
)
def test_what_nobody_can_read_is_refused(world: World, document):
    with pytest.raises(UnreadableMessage):
        handle(world.worker_deps, gate_of(world), document)
    assert world.event_types() == []


def test_an_event_of_others_is_refused(world: World):
    of_others = TwoFactorDisabled(id="evt_9", occurred_at=world.clock(), account_id=ACCOUNT)
    with pytest.raises(UnreadableMessage, match="nobody here"):
        handle(world.worker_deps, gate_of(world), signed(of_others, OTP_EVENTS))
    assert world.event_types() == []


@pytest.fixture
def task(world: World):
    celery = make_celery("otp-test", Secret("memory://"))
    register_tasks(celery, world.worker_deps, gate_of(world))
    return celery.tasks[QUEUES[OTP_EVENTS]]


def test_the_task_acts_on_the_message(world: World, task):
    world.enrol()
    task.apply(args=[signed(approved(world))])
    assert world.state()["enabled"] is False


def test_a_store_that_is_down_is_tried_again_soon_and_for_ever(world: World, task, redis_server):
    redis_server.connected = False
    world.enrol()
    assert task.max_retries is None
    assert task.acks_late is True
    assert RETRY_SECONDS <= VISIBILITY_TIMEOUT_SECONDS / 5
    calls = []
    original = task.retry

    def comes_back(*args, **kwargs):
        calls.append(kwargs["countdown"])
        redis_server.connected = True
        return original(*args, **kwargs)

    task.retry = comes_back
    task.apply(args=[signed(approved(world))])
    assert calls == [2]
    assert world.state()["enabled"] is False


def test_everything_on_our_queue_has_a_handler():
    from services.otp.tasks import HANDLERS

    assert {kind for kind, queues in ROUTES.items() if OTP_EVENTS in queues} == set(HANDLERS)


# --- what the reset names ---------------------------------------------------------------------------------------------


def test_an_app_that_was_enrolled_since_the_request_stays_with_its_backup_codes(world: World):
    world.enrol()
    named = active(world)
    world.account("DELETE", "two-factor", {"session_id": None})
    world.enrol()
    world.give_recovery_codes()
    reset.apply(world.worker_deps, approved(world, named=named))
    assert world.state()["enabled"] is True
    assert world.state()["recovery_codes"]["remaining"] > 0
    assert world.event_types()[-1] == "two_factor.reset_found_nothing"


def test_a_reset_that_names_nothing_removes_nothing(world: World):
    world.enrol()
    reset.apply(world.worker_deps, approved(world, named=()))
    assert world.state()["enabled"] is True


# --- stolen -----------------------------------------------------------------------------------------------------------


def test_a_stolen_app_and_texts_are_refused_and_backup_codes_are_not(world: World):
    world.enrol()
    world.send_sms()
    reset.suspend(world.worker_deps, suspended(world))
    assert world.verify(world.code()).json["code"] == "invalid_passcode"
    assert world.redis.keys("otp:sms*") == []
    (code, *_) = world.give_recovery_codes()
    assert world.verify(code).json["factor"] == "recovery_code"


def test_a_stolen_app_is_on_and_is_said_to_be_suspended_until_its_reset_is_over(world: World):
    world.enrol()
    assert (world.state()["enabled"], world.state()["suspended"]) == (True, False)
    reset.suspend(world.worker_deps, suspended(world))
    assert (world.state()["enabled"], world.state()["suspended"]) == (True, True)
    reset.reinstate(world.worker_deps, reinstated(world))
    assert world.state()["suspended"] is False


def test_a_text_sent_after_the_suspension_is_refused(world: World, notify_keys):
    world.enrol()
    reset.suspend(world.worker_deps, suspended(world))
    message_id = world.send_sms().json["message_id"]
    text = open_envelope(notify_keys, world.redis.get(f"notify:sealed:{message_id}")).body
    assert world.verify(text[-6:]).json["code"] == "invalid_passcode"


def test_a_reinstated_app_is_accepted_again(world: World):
    world.enrol()
    reset.suspend(world.worker_deps, suspended(world))
    reset.reinstate(world.worker_deps, reinstated(world))
    assert world.verify(world.code()).status_code == 200


def test_a_suspension_that_comes_after_its_end_is_void(world: World):
    world.enrol()
    late = suspended(world)
    reset.reinstate(world.worker_deps, reinstated(world))
    reset.suspend(world.worker_deps, late)
    assert world.verify(world.code()).status_code == 200


def test_another_resets_end_reinstates_nothing(world: World):
    world.enrol()
    reset.suspend(world.worker_deps, suspended(world))
    reset.reinstate(world.worker_deps, reinstated(world, "rst_2"))
    assert world.verify(world.code()).status_code == 401


def test_the_owner_of_a_suspended_app_signs_in_with_a_backup_code_and_turns_2fa_off(world: World):
    world.enrol()
    (code, *_) = world.give_recovery_codes()
    reset.suspend(world.worker_deps, suspended(world))
    assert world.verify(code).status_code == 200
    assert world.account("DELETE", "two-factor", {}).status_code == 200
    assert world.account("POST", "enrollments", {"label": "ann"}).status_code == 201


def test_a_suspended_app_can_still_be_reset(world: World):
    world.enrol()
    reset.suspend(world.worker_deps, suspended(world))
    reset.apply(world.worker_deps, approved(world))
    assert world.state()["enabled"] is False


# --- the owner is in before it comes ----------------------------------------------------------------------------------

LOST, STOLEN = ("totp", "recovery_code"), ("recovery_code",)


def two_hours_late(world: World, ended_by, code):
    """A reset whose message waits for a worker while this code signs the owner in."""
    message = replace(approved(world), ended_by=ended_by)
    world.clock.turn(hours=2)
    if code is not None:
        assert world.verify(code()).status_code == 200
    reset.apply(world.worker_deps, message)
    return world.events()[-1]


@pytest.mark.parametrize(
    ("ended_by", "is_app", "outcome"),
    [
        (LOST, True, "two_factor.reset_found_nothing"),
        (LOST, False, "two_factor.reset_found_nothing"),
        (STOLEN, True, "two_factor.reset_applied"),
        (STOLEN, False, "two_factor.reset_found_nothing"),
    ],
)
def test_a_code_accepted_after_the_approval_ends_the_reset_unless_it_is_of_what_was_stolen(
    world: World, ended_by, is_app, outcome
):
    world.enrol()
    (code, *_) = world.give_recovery_codes()
    told = two_hours_late(world, ended_by, world.code if is_app else lambda: code)
    assert told["type"] == outcome
    assert world.state()["enabled"] == (outcome == "two_factor.reset_found_nothing")
    if outcome == "two_factor.reset_found_nothing":
        assert told["factor"] == ("totp" if is_app else "recovery_code")
        assert world.state()["recovery_codes"]["remaining"] > 0


def test_a_code_accepted_before_the_approval_ends_nothing(world: World):
    world.enrol()
    (code, *_) = world.give_recovery_codes()
    world.clock.turn(seconds=60)
    assert world.verify(world.code()).status_code == 200
    assert world.verify(code, binding="chl_2").status_code == 200
    assert two_hours_late(world, LOST, None)["type"] == "two_factor.reset_applied"


def test_a_wrong_code_ends_nothing(world: World):
    world.enrol()
    message = approved(world)
    world.clock.turn(hours=2)
    assert world.verify(world.wrong_code()).status_code == 401
    reset.apply(world.worker_deps, message)
    assert world.state()["enabled"] is False


def test_a_texted_code_ends_nothing(world: World, notify_keys):
    world.enrol()
    message = approved(world)
    world.clock.turn(hours=2)
    text = open_envelope(notify_keys, world.redis.get(f"notify:sealed:{world.send_sms().json['message_id']}")).body
    assert world.verify(text[-6:]).json["factor"] == "sms"
    reset.apply(world.worker_deps, message)
    assert world.state()["enabled"] is False


@pytest.mark.parametrize(("binding", "status"), [("chl_1", 200), ("chl_2", 401)])
def test_a_backup_code_of_before_that_is_repeated_ends_nothing(world: World, binding, status):
    world.enrol()
    (code, *_) = world.give_recovery_codes()
    assert world.verify(code, binding="chl_1").status_code == 200
    message = approved(world)
    world.clock.turn(seconds=10)
    assert world.verify(code, binding=binding).status_code == status
    reset.apply(world.worker_deps, message)
    assert world.state()["enabled"] is False


def test_a_backup_code_counts_after_its_sheet_was_replaced(world: World):
    world.enrol()
    (code, *_) = world.give_recovery_codes()
    message = approved(world)
    world.clock.turn(hours=2)
    assert world.verify(code).status_code == 200
    world.give_recovery_codes()
    reset.apply(world.worker_deps, message)
    assert world.events()[-1]["factor"] == "recovery_code"
    assert world.state()["recovery_codes"]["remaining"] == 10
