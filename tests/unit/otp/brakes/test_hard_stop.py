"""The stop after a hundred failures in a row."""

from services.otp.limits import HARD_STOP
from tests.support.brakes import IN_A_ROW, MINE, fail, fail_on_devices, fail_through_all_windows, locked, scopes
from tests.support.otp import World


def test_after_a_hundred_failures_in_a_row_nothing_is_compared(world: World):
    world.enrol()
    fail_on_devices(world, HARD_STOP)
    response = world.verify(world.code())
    assert (response.status_code, response.json["code"]) == (429, "second_factor_locked")
    assert world.verify(world.code(), purpose="step_up").json["code"] == "second_factor_locked"
    assert world.verify(world.code(), device_id="dev_1").json["code"] == "second_factor_locked"
    assert locked(world) == (True, True)


def test_it_survives_a_lost_redis(world: World):
    world.enrol()
    fail_on_devices(world, HARD_STOP)
    world.redis.flushall()
    assert world.verify(world.code()).json["code"] == "second_factor_locked"
    assert world.send_sms().json["code"] == "second_factor_locked"


def test_it_is_exact_before_sql_has_caught_up(world: World):
    world.enrol()
    world.redis.set(IN_A_ROW, HARD_STOP - 1)
    assert world.verify(world.wrong_code(), **MINE).status_code == 401
    assert world.verify(world.code(), **MINE).json["code"] == "second_factor_locked"


def test_sql_catches_up_when_failures_were_lost_on_the_way(world: World):
    world.enrol()
    world.redis.set(IN_A_ROW, HARD_STOP)
    assert world.verify(world.code()).json["code"] == "second_factor_locked"
    world.settle()
    assert (world.state()["locked"], world.state()["consecutive_failures"]) == (True, HARD_STOP)
    assert scopes(world) == ["everywhere"]


def test_it_is_reported_once(world: World):
    world.enrol()
    fail_on_devices(world, HARD_STOP)
    for _ in range(3):
        world.verify(world.wrong_code(), **MINE)
        world.settle()
    assert scopes(world) == ["everywhere"]
    assert [event["consecutive_failures"] for event in world.events()] == [HARD_STOP]


def test_a_success_ends_the_row(world: World):
    world.enrol()
    fail_on_devices(world, HARD_STOP - 1)
    assert world.verify(world.code(), **MINE).status_code == 200
    world.settle()
    assert world.state()["consecutive_failures"] == 0
    fail_through_all_windows(world, 2)
    assert world.state() | {"authenticators": []} == {
        "enabled": True, "authenticators": [], "recovery_codes": {"remaining": 0, "created_at": None},
        "locked": False, "locked_everywhere": False, "consecutive_failures": 2, "strangers_failures": 2,
        "reset_needed": False, "suspended": False,
        "pending_until": None,
    }  # fmt: skip


def test_a_proven_phone_does_not_end_the_row(world: World, notify_keys):
    from shared.envelope import open_envelope

    world.enrol()
    fail_through_all_windows(world, 10)
    message_id = world.send_sms(purpose="phone_verification").json["message_id"]
    code = open_envelope(notify_keys, world.redis.get(f"notify:sealed:{message_id}")).body[-6:]
    assert world.verify(code, purpose="phone_verification").status_code == 200
    fail(world, 1, purpose="phone_verification")
    world.settle()
    assert world.state()["consecutive_failures"] == 10
    assert world.redis.get(IN_A_ROW) == "10"


def test_support_lifts_no_hundred_in_a_row(world: World):
    world.enrol()
    fail_on_devices(world, HARD_STOP)
    assert world.state()["reset_needed"] is True
    refused = world.account("POST", "unlock", {})
    assert (refused.status_code, refused.json["code"]) == (409, "reset_needed")
    assert world.verify(world.code()).status_code == 429


def test_unlocks_together_lift_no_hundred_in_a_row(world: World):
    """Else an operator's unlocks would be a guessing machine: 99, unlock, 99."""
    world.enrol()
    for _ in range(2):
        fail_on_devices(world, 45)
        world.clock.turn(seconds=1)
        assert world.account("POST", "unlock").status_code == 204
    fail_on_devices(world, 9)
    assert world.state()["reset_needed"] is False
    fail_on_devices(world, 1)
    assert world.state()["reset_needed"] is True
    assert world.account("POST", "unlock").status_code == 409


def test_a_success_ends_what_unlocks_have_lifted(world: World):
    world.enrol()
    fail_on_devices(world, 90)
    world.clock.turn(seconds=1)
    assert world.account("POST", "unlock").status_code == 204
    assert world.verify(world.code()).status_code == 200
    world.settle()
    fail_on_devices(world, 90)
    world.clock.turn(seconds=1)
    assert world.account("POST", "unlock").status_code == 204


def test_support_lifts_what_is_below(world: World):
    world.enrol()
    fail_through_all_windows(world, 60)
    fail(world, 1)  # a try that is still on its way to SQL when support acts
    world.clock.turn(seconds=1)
    assert world.account("POST", "unlock", {}).status_code == 204
    world.settle()
    assert world.state()["consecutive_failures"] == 0
    assert world.verify(world.code()).status_code == 200


def test_failures_that_came_before_do_not_count_after(world: World):
    """They were on their way to SQL when support acted."""
    world.enrol()
    fail(world, 3)
    world.clock.turn(seconds=1)
    world.account("POST", "unlock")
    world.settle()
    assert world.state()["consecutive_failures"] == 0


def test_unlocking_renews_the_windows(world: World):
    world.enrol()
    assert fail(world, 6)[-1] == 429
    assert world.account("POST", "unlock").status_code == 204
    assert world.verify(world.code()).status_code == 200


def test_it_can_lock_and_be_reported_again(world: World):
    world.enrol()
    fail_through_all_windows(world, 60)
    world.clock.turn(seconds=1)
    world.account("POST", "unlock")
    fail_through_all_windows(world, 60)
    assert scopes(world) == ["new_browsers"] * 2
