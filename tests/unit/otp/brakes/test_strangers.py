"""What somebody who has the password can use up, and what is kept back from him."""

from dataclasses import replace

from services.otp.limits import STOP_FOR_STRANGERS, STOP_FOR_STRANGERS_DIGITS
from services.otp.recorder import AttemptRecorder
from tests.support.brakes import IN_A_ROW, MINE, NO_BACKUP_CODE, fail, fail_through_all_windows, locked, scopes
from tests.support.otp import World


def test_digits_end_first_in_a_browser_that_the_account_does_not_know(world: World):
    world.enrol()
    backup = world.give_recovery_codes()[0]
    fail_through_all_windows(world, STOP_FOR_STRANGERS_DIGITS)
    assert world.verify(world.code()).json["code"] == "second_factor_locked"
    assert world.send_sms().json["code"] == "second_factor_locked"
    assert locked(world) == (True, False)
    assert world.verify(backup).json["factor"] == "recovery_code"
    world.settle()
    assert world.verify(world.code(), binding="chl_2").status_code == 200


def test_backup_codes_end_next_and_the_owners_browser_goes_on(world: World):
    world.enrol()
    backup = world.give_recovery_codes()[0]
    fail_through_all_windows(world, STOP_FOR_STRANGERS, NO_BACKUP_CODE)
    assert world.verify(backup).json["code"] == "second_factor_locked"
    assert world.send_sms(**MINE).status_code == 202
    assert world.verify(world.wrong_code(), **MINE).status_code == 401
    assert world.verify(world.code(), **MINE).status_code == 200
    world.settle()
    assert world.state()["locked"] is False
    assert world.verify(backup).status_code == 200


def test_a_step_up_goes_on_too(world: World):
    """Whoever steps up has signed in; the owner must be able to change the password that another one knows."""
    world.enrol()
    fail_through_all_windows(world, STOP_FOR_STRANGERS, NO_BACKUP_CODE)
    assert world.verify(world.code(), purpose="step_up").status_code == 200


def test_the_owner_is_told_once(world: World):
    world.enrol()
    fail_through_all_windows(world, STOP_FOR_STRANGERS_DIGITS - 1)
    assert scopes(world) == []
    fail_through_all_windows(world, 1)
    fail_through_all_windows(world, STOP_FOR_STRANGERS - STOP_FOR_STRANGERS_DIGITS, NO_BACKUP_CODE)
    for _ in range(3):
        world.verify(world.wrong_code())
        world.settle()
    assert scopes(world) == ["new_browsers"]


def test_a_success_that_a_stopped_try_overtakes_in_the_record_lifts_it_all_the_same(world: World):
    """Refused by a count of before the success, recorded after it: Redis is asked when it is written."""
    world.enrol()
    world.deps.recorder._start = lambda: None
    fail_through_all_windows(world, STOP_FOR_STRANGERS_DIGITS)
    assert world.verify(world.code(), **MINE).status_code == 200
    assert world.verify(world.wrong_code()).json["code"] == "second_factor_locked"
    world.settle()
    assert world.state()["consecutive_failures"] == 0


def test_what_failed_after_a_success_begins_the_next_row(world: World):
    world.enrol()
    world.deps.recorder._start = lambda: None
    fail_through_all_windows(world, 7)
    world.verify(world.code(), **MINE)
    fail(world, 2)
    world.settle()
    assert (world.redis.get(IN_A_ROW), world.state()["consecutive_failures"]) == ("2", 2)


def test_what_fails_in_another_process_after_a_success_stays_counted(world: World):
    world.enrol()
    first = world.deps.recorder
    first._start = lambda: None
    fail_through_all_windows(world, 7)
    world.verify(world.code(), **MINE)
    recorder = AttemptRecorder(world.database, world.redis, world.clock, world.deps.signer)
    world.deps = replace(world.deps, recorder=recorder)
    world.deps.recorder._start = lambda: None
    fail(world, 2)
    first.flush()
    assert world.redis.get(IN_A_ROW) == "2"
    world.settle()
    assert world.state()["consecutive_failures"] == 2
