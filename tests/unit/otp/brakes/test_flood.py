"""A throttled try costs a stranger nothing, so it may cost us no row."""

from dataclasses import replace

from services.otp.limits import HARD_STOP, STOP_FOR_STRANGERS
from services.otp.recorder import AttemptRecorder
from tests.support.brakes import MINE, OF_STRANGERS, fail, fail_on_devices, fail_through_all_windows
from tests.support.otp import ACCOUNT, World


def throttled(world: World, account: str = ACCOUNT) -> list[str]:
    return [item["purpose"] for item in world.attempts(account) if item["outcome"] == "throttled"]


def test_it_is_one_row_a_wait_in_one_batch_and_in_many(world: World):
    world.enrol()
    fail(world, 30)
    assert throttled(world) == ["login"]
    for _ in range(3):
        fail(world, 2)
        assert throttled(world) == ["login"]


def test_it_is_one_row_over_all_processes(world: World):
    world.enrol()
    fail(world, 6)
    world.settle()
    recorder = AttemptRecorder(world.database, world.redis, world.clock, world.deps.signer)
    world.deps = replace(world.deps, recorder=recorder)
    fail(world, 3)
    assert throttled(world) == ["login"]


def test_each_account_purpose_and_device_has_its_own(world: World):
    world.enrol()
    world.enrol("acc_bob")
    fail(world, 7)
    fail(world, 7, purpose="step_up")
    fail(world, 7, device_id="dev_1")
    fail(world, 7, device_id="dev_2")
    fail(world, 7, account="acc_bob")
    assert throttled(world) == ["login", "login", "step_up", "login"]
    assert throttled(world, "acc_bob") == ["login"]


def test_the_next_wait_has_its_own(world: World):
    world.enrol()
    fail(world, 7)
    world.settle()
    world.account("POST", "unlock")
    fail(world, 7)
    assert throttled(world) == ["login"] * 2


def test_the_mark_of_it_ends_with_the_wait(world: World):
    world.enrol()
    wait = [world.verify(world.wrong_code()) for _ in range(6)][-1].json["retry_after"]
    world.settle()
    (mark,) = world.redis.keys("otp:throttled:*")
    assert 0 < world.redis.ttl(mark) <= wait


def test_a_hard_stop_is_told_again_each_hour(world: World):
    world.enrol()
    fail_through_all_windows(world, STOP_FOR_STRANGERS)
    fail(world, 9)
    assert throttled(world) == ["login"]
    (mark,) = world.redis.keys("otp:throttled:*")
    assert 3500 < world.redis.ttl(mark) <= 3600


def test_each_stop_of_the_row_of_failures_has_its_own(world: World):
    world.enrol()
    fail_through_all_windows(world, STOP_FOR_STRANGERS)
    fail_on_devices(world, HARD_STOP - STOP_FOR_STRANGERS - 1)
    world.redis.delete(OF_STRANGERS)
    world.redis.set(OF_STRANGERS, STOP_FOR_STRANGERS - 1)
    fail(world, 1)
    for _ in range(2):
        fail(world, 3)
        fail(world, 3, **MINE)
    rows = [item for item in world.attempts() if item["outcome"] == "throttled"]
    assert [item["device_known"] for item in rows] == [True, False]


def test_an_unlock_forgets_the_marks_of_the_stops(world: World):
    world.enrol()
    fail_through_all_windows(world, STOP_FOR_STRANGERS)
    fail(world, 3)
    world.settle()
    assert world.redis.keys("otp:throttled:otp.verify.consecutive*") != []
    world.clock.turn(seconds=1)
    world.account("POST", "unlock")
    assert world.redis.keys("otp:throttled:otp.verify.consecutive*") == []


def test_a_try_without_a_row_still_tells_sql_of_the_hard_stop(world: World):
    world.enrol()
    mark = f"otp:throttled:otp.verify.consecutive.strangers:{STOP_FOR_STRANGERS}:{ACCOUNT}"
    world.redis.set(mark, 1)  # its row was lost with its process
    world.redis.set(OF_STRANGERS, STOP_FOR_STRANGERS)
    world.verify(world.code())
    world.settle()
    assert world.state()["locked"] is True
    assert throttled(world) == []


def test_without_redis_a_row_too_many_is_better_than_none(world: World, redis_server):
    world.enrol()
    fail(world, 20)
    redis_server.connected = False
    world.settle()
    redis_server.connected = True
    assert set(throttled(world)) == {"login"}
    # One a batch: of what was written before it was lost, of what the recorder took up after that, of the rest.
    assert len(throttled(world)) <= 3
