"""A refused code says how many tries its row has left, once they are few, and nothing of the rows that others share."""

import pytest

from tests.support.brakes import IN_A_ROW, MINE, NO_BACKUP_CODE, OF_STRANGERS
from tests.support.otp import ACCOUNT, World


@pytest.mark.parametrize("whose", [{}, MINE, {"purpose": "step_up", "binding": "ses_1"}], ids=["new", "known", "open"])
def test_the_last_tries_are_told(world: World, whose):
    world.enrol()
    said = [world.verify(world.wrong_code(), **whose).json.get("tries_left") for _ in range(6)]
    assert said == [None, None, 2, 1, 0, None]


def test_the_window_with_the_fewest_is_told(world: World):
    world.enrol()
    world.redis.set(f"budget:otp.verify.login:86400:{ACCOUNT}", 48, ex=100)
    assert world.verify(world.wrong_code()).json["tries_left"] == 1


@pytest.mark.parametrize(("row", "failures"), [(OF_STRANGERS, 58), (IN_A_ROW, 98)])
def test_how_near_the_account_is_to_its_lock_is_not_told(world: World, row, failures):
    world.enrol()
    world.verify(world.wrong_code())
    world.redis.set(row, failures)
    answer = world.verify(world.wrong_code())
    assert (answer.status_code, answer.json.get("tries_left")) == (401, None)


def test_a_backup_code_is_named_as_one_and_has_tries_of_its_own(world: World):
    world.enrol()
    answers = [world.verify(NO_BACKUP_CODE).json for _ in range(10)]
    assert {answer["cause"] for answer in answers} == {"backup_code"}
    assert [answer.get("tries_left") for answer in answers] == [None] * 7 + [2, 1, 0]
    assert "cause" not in world.verify(world.wrong_code()).json


def test_an_enrolment_tells_them_too(world: World):
    begun = world.account("POST", "enrollments", {"label": "ann@example.com", "session_id": "ses_1"}).json
    path = f"enrollments/{begun['enrollment_id']}/confirm"
    body = {"code": "000000", "session_id": "ses_1"}
    assert [world.account("POST", path, body).json.get("tries_left") for _ in range(6)] == [None, None, 2, 1, 0, None]
