"""What support is told of budgets that are spent."""

from datetime import timedelta

from shared.clock import parse_rfc3339
from tests.support.brakes import fail
from tests.support.otp import ACCOUNT, World


def throttles(world: World) -> dict[str, str]:
    return {item["purpose"]: item["until"] for item in world.account("GET", "throttles").json["items"]}


def test_a_spent_budget_is_told_before_any_try_is_refused(world: World):
    world.enrol()
    fail(world, 4)
    assert throttles(world) == {}
    fail(world, 1)
    told = parse_rfc3339(throttles(world)["login"]) - world.clock()
    assert timedelta(minutes=4) < told <= timedelta(minutes=5)
    assert fail(world, 1) == [429]


def test_the_longest_wait_is_told(world: World):
    world.enrol()
    fail(world, 5)
    world.redis.set(f"budget:otp.verify.login:3600:{ACCOUNT}", 20, ex=1800)
    assert parse_rfc3339(throttles(world)["login"]) - world.clock() == timedelta(minutes=30)


def test_looking_counts_nothing(world: World):
    world.enrol()
    fail(world, 4)
    for _ in range(3):
        throttles(world)
    assert fail(world, 2) == [401, 429]


def test_unlocking_ends_them(world: World):
    world.enrol()
    for purpose in ("login", "step_up", "phone_verification"):
        fail(world, 5, purpose=purpose)
    assert set(throttles(world)) == {"login", "phone_verification"}  # a session's step-up holds out no one else
    world.account("POST", "unlock")
    assert throttles(world) == {}
