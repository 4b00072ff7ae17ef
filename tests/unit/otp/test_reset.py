import pytest
from sqlalchemy import event, select

from services.otp import reset
from services.otp.models import authenticators, recovery_codes
from services.otp.tasks import handle, register_tasks
from shared.brokers import VISIBILITY_TIMEOUT_SECONDS
from shared.clock import parse_rfc3339
from shared.database import reading
from shared.messages import (
    OTP_EVENTS,
    QUEUES,
    ROUTES,
    TwoFactorDisabled,
    TwoFactorResetApproved,
    UnreadableMessage,
    encode,
)
from shared.queueing import RETRY_SECONDS, make_celery
from shared.secret import Secret
from tests.support.otp import ACCOUNT, World


def approved(world: World, message_id="evt_1", reset_id="rst_1"):
    return TwoFactorResetApproved(id=message_id, occurred_at=world.clock(), account_id=ACCOUNT, reset_id=reset_id)


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


def test_a_waiting_enrollment_dies_too(world: World):
    begun = world.account("POST", "enrollments", {"label": "ann"}).json
    reset.apply(world.worker_deps, approved(world))
    path = f"enrollments/{begun['enrollment_id']}/confirm"
    assert world.account("POST", path, {"code": "123456"}).json["code"] == "enrollment_expired"


def test_it_reports_also_when_nothing_was_on(world: World):
    reset.apply(world.worker_deps, approved(world))
    assert world.event_types() == ["two_factor.reset_applied"]


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
        handle(world.worker_deps, document)
    assert world.event_types() == []


def test_an_event_of_others_is_refused(world: World):
    of_others = TwoFactorDisabled(id="evt_9", occurred_at=world.clock(), account_id=ACCOUNT)
    with pytest.raises(UnreadableMessage, match="nobody here"):
        handle(world.worker_deps, encode(of_others))
    assert world.event_types() == []


@pytest.fixture
def task(world: World):
    celery = make_celery("otp-test", Secret("memory://"))
    register_tasks(celery, world.worker_deps)
    return celery.tasks[QUEUES[OTP_EVENTS]]


def test_the_task_acts_on_the_message(world: World, task):
    world.enrol()
    task.apply(args=[encode(approved(world))])
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
    task.apply(args=[encode(approved(world))])
    assert calls == [2]
    assert world.state()["enabled"] is False


def test_everything_on_our_queue_has_a_handler():
    from services.otp.tasks import HANDLERS

    assert {kind for kind, queues in ROUTES.items() if OTP_EVENTS in queues} == set(HANDLERS)
