"""What somebody who has the password can use up, and what is kept back from him."""

from dataclasses import replace

import pytest

from services.otp.limits import STOP_FOR_A_DEVICE, STOP_FOR_STRANGERS
from services.otp.recorder import AttemptRecorder
from tests.support.brakes import (
    IN_A_ROW,
    MINE,
    NO_BACKUP_CODE,
    OF_STRANGERS,
    fail,
    fail_on_devices,
    fail_through_all_windows,
    locked,
    scopes,
)
from tests.support.otp import World


def test_digits_end_in_a_browser_that_the_account_does_not_know(world: World):
    world.enrol()
    backup = world.give_recovery_codes()[0]
    fail_through_all_windows(world, STOP_FOR_STRANGERS)
    refused = world.verify(world.code()).json
    assert (refused["code"], refused["spent_rows"]) == ("second_factor_locked", ["strangers"])
    assert world.send_sms().json["code"] == "second_factor_locked"
    assert locked(world) == (True, False)
    assert world.verify(backup).json["factor"] == "recovery_code"
    world.settle()
    assert world.verify(world.code(), binding="chl_2").json["code"] == "second_factor_locked"


def test_the_owners_browser_and_step_up_go_on(world: World):
    world.enrol()
    fail_through_all_windows(world, STOP_FOR_STRANGERS)
    assert world.send_sms(**MINE).status_code == 202
    assert world.verify(world.wrong_code(), **MINE).status_code == 401
    assert world.verify(world.code(), **MINE).status_code == 200
    assert world.verify(world.wrong_code(), purpose="step_up", binding="ses_1").status_code == 401


@pytest.mark.parametrize(
    "mine", [{}, MINE, {"purpose": "step_up"}], ids=["in a new browser", "on a known device", "as a step-up"]
)
def test_the_owners_everyday_login_gives_a_stranger_nothing(world: World, mine):
    world.enrol()
    for _ in range(2):
        fail_through_all_windows(world, STOP_FOR_STRANGERS // 2)
        world.clock.turn(seconds=30)
        answer = world.verify(world.code(), **mine)
    assert answer.status_code == 429 if mine == {} else answer.status_code == 200
    world.settle()
    assert fail(world, 1) == [429]
    assert world.redis.get(OF_STRANGERS) == str(STOP_FOR_STRANGERS)
    assert world.state()["strangers_failures"] == STOP_FOR_STRANGERS


def test_a_right_code_of_a_new_browser_costs_no_failure(world: World):
    world.enrol()
    fail(world, 3)
    assert world.verify(world.code()).status_code == 200
    world.settle()
    assert (world.redis.get(OF_STRANGERS), world.state()["strangers_failures"]) == ("3", 3)
    assert (world.redis.get(IN_A_ROW), world.state()["consecutive_failures"]) == ("0", 0)


def test_the_gateway_ends_the_row_for_the_owner(world: World):
    """The owner's word, or a change of password."""
    world.enrol()
    fail_through_all_windows(world, STOP_FOR_STRANGERS)
    fail(world, 1)
    world.clock.turn(seconds=1)
    for _ in range(2):
        assert world.account("POST", "endings", {"strangers": True}).status_code == 204
    assert (world.state()["strangers_failures"], world.state()["consecutive_failures"]) == (0, STOP_FOR_STRANGERS)
    assert locked(world) == (False, False)
    assert world.verify(world.code()).status_code == 200
    fail_through_all_windows(world, STOP_FOR_STRANGERS)
    assert scopes(world) == ["new_browsers"] * 2


def test_the_end_of_the_row_begins_the_windows_of_new_browsers_anew(world: World):
    world.enrol()
    assert fail(world, 6)[-1] == 429
    world.settle()
    assert world.account("POST", "endings", {"strangers": True}).status_code == 204
    assert world.verify(world.code()).status_code == 200


def test_failures_on_their_way_when_the_row_ends_are_from_before(world: World):
    world.enrol()
    world.deps.recorder._start = lambda: None
    fail(world, 3)
    world.clock.turn(seconds=1)
    world.account("POST", "endings", {"strangers": True})
    world.settle()
    assert (world.state()["strangers_failures"], world.state()["consecutive_failures"]) == (0, 3)


def test_another_ending_leaves_the_row(world: World):
    world.enrol()
    fail(world, 3)
    world.settle()
    assert world.account("POST", "endings", {"codes": True, "enrollments": True}).status_code == 204
    assert (world.redis.get(OF_STRANGERS), world.state()["strangers_failures"]) == ("3", 3)


def test_a_device_that_has_spent_its_ten_says_so(world: World):
    world.enrol()
    answers = []
    for _ in range(STOP_FOR_A_DEVICE + 1):
        answers.append(world.verify(world.wrong_code(), **MINE).json)
        world.end_windows()
    assert [answer.get("spent_rows") for answer in answers] == [None] * 9 + [["device"]] * 2
    assert answers[-1]["code"] == "second_factor_locked"
    assert world.verify(world.code(), device_id="dev_other").status_code == 200


def test_a_device_spends_its_row_by_the_step_up_of_its_sessions_too(world: World):
    """A remembered device opens a new session without a code each time."""
    world.enrol()
    for number in range(STOP_FOR_A_DEVICE):
        answer = world.verify(world.wrong_code(), purpose="step_up", binding=f"ses_{number}", **MINE)
    assert answer.json["spent_rows"] == ["device"]
    assert world.verify(world.code(), purpose="step_up", binding="ses_n", **MINE).status_code == 429
    assert world.verify(world.code(), purpose="step_up", binding="ses_other").status_code == 200


def test_a_success_of_the_device_ends_its_row_and_no_other(world: World):
    world.enrol()
    other = {"device_id": "dev_other"}
    fail_through_all_windows(world, STOP_FOR_A_DEVICE - 1, **MINE)
    fail_through_all_windows(world, STOP_FOR_A_DEVICE - 1, **other)
    assert world.verify(world.code(), **MINE).status_code == 200
    world.settle()
    assert world.verify(world.wrong_code(), **MINE).json.get("spent_rows") is None
    assert world.verify(world.wrong_code(), **other).json["spent_rows"] == ["device"]


def test_a_session_that_has_spent_its_ten_says_so(world: World):
    world.enrol()
    fail_through_all_windows(world, 9, purpose="step_up", binding="ses_1")
    assert world.verify(world.wrong_code(), purpose="step_up", binding="ses_1").json["spent_rows"] == ["session"]
    assert world.verify(world.code(), purpose="step_up", binding="ses_1").json["spent_rows"] == ["session"]
    assert world.verify(world.code(), purpose="step_up", binding="ses_2").status_code == 200


def test_backup_codes_spend_no_row_and_none_refuses_them(world: World):
    world.enrol()
    backup = world.give_recovery_codes()[0]
    for number in range(STOP_FOR_STRANGERS):
        assert world.verify(NO_BACKUP_CODE, binding=f"chl_{number // 10}").status_code == 401
    world.settle()
    assert (world.state()["consecutive_failures"], world.state()["strangers_failures"]) == (0, 0)
    fail_through_all_windows(world, STOP_FOR_STRANGERS)
    fail_on_devices(world, 40)
    assert locked(world) == (True, True)
    assert world.verify(backup, binding="chl_last").status_code == 200
    world.settle()
    assert locked(world) == (True, False)
    assert world.verify(world.code(), **MINE).status_code == 200


def test_a_backup_code_ends_the_row_of_its_device(world: World):
    world.enrol()
    backup = world.give_recovery_codes()[0]
    fail_through_all_windows(world, STOP_FOR_A_DEVICE - 1, **MINE)
    assert world.verify(backup, **MINE).status_code == 200
    world.settle()
    assert world.verify(world.wrong_code(), **MINE).json.get("spent_rows") is None


def test_the_owner_is_told_once(world: World):
    world.enrol()
    fail_through_all_windows(world, STOP_FOR_STRANGERS - 1)
    assert scopes(world) == []
    fail_through_all_windows(world, 1)
    for _ in range(3):
        world.verify(world.wrong_code())
        world.settle()
    assert world.verify(world.code(), **MINE).status_code == 200
    world.verify(world.wrong_code())
    world.settle()
    assert scopes(world) == ["new_browsers"]


def test_a_success_that_a_stopped_try_overtakes_in_the_record_lifts_it_all_the_same(world: World):
    """Refused by a count of before the success, recorded after it: Redis is asked when it is written."""
    world.enrol()
    world.deps.recorder._start = lambda: None
    fail_through_all_windows(world, STOP_FOR_STRANGERS)
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
