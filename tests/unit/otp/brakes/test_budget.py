"""How often a code may be tried."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.otp.limits import GUESSES
from shared.clock import rfc3339
from tests.support.brakes import NO_BACKUP_CODE, fail
from tests.support.otp import ACCOUNT, BINDING, World


def test_five_tries_in_five_minutes(world: World):
    world.enrol()
    assert fail(world, 6) == [401] * 5 + [429]
    response = world.verify(world.code())
    assert (response.status_code, response.json["code"]) == (429, "too_many_requests")
    assert 0 < int(response.headers["Retry-After"]) == response.json["retry_after"] <= 300


def test_every_window_counts(world: World):
    world.enrol()
    fail(world, 1)
    counts = {key: world.redis.get(key) for key in world.redis.keys("budget:otp.verify.login:*")}
    assert counts == {f"budget:otp.verify.login:{window.seconds}:{ACCOUNT}": "1" for window in GUESSES}
    assert all(world.redis.ttl(key) > 0 for key in counts)
    world.redis.set(f"budget:otp.verify.login:86400:{ACCOUNT}", 50, ex=100)
    assert fail(world, 1) == [429]


def test_a_wrong_code_says_how_many_there_were(world: World):
    world.enrol()
    assert [world.verify(world.wrong_code()).json["recent_failures"] for _ in range(3)] == [1, 2, 3]


def test_slow_guesses_add_up(world: World):
    """The owner is told of the third in a day: two every five minutes must not go unnoticed."""
    world.enrol()
    fail(world, 2)
    world.redis.delete(f"budget:otp.verify.login:300:{ACCOUNT}")
    assert world.verify(world.wrong_code()).json["recent_failures"] == 3


def test_a_new_challenge_does_not_renew_it(world: World):
    world.enrol()
    statuses = [world.verify(world.wrong_code(), binding=f"chl_{number}").status_code for number in range(6)]
    assert statuses == [401] * 5 + [429]


def test_app_and_texts_share_it_and_backup_codes_pay_by_the_challenge(world: World):
    world.enrol()
    codes = world.give_recovery_codes()
    world.send_sms()
    assert fail(world, 5) == [401] * 5
    assert world.verify(world.code()).status_code == 429
    assert [world.verify(NO_BACKUP_CODE).status_code for _ in range(11)] == [401] * 10 + [429]
    assert world.verify(codes[0], binding="chl_2").status_code == 200


def test_a_replayed_code_is_a_failure(world: World):
    world.enrol()
    assert world.verify(world.code()).status_code == 200
    world.settle()
    assert [world.verify(world.code(), binding="chl_2").status_code for _ in range(6)] == [401] * 5 + [429]


def test_a_success_is_given_back(world: World):
    world.enrol()
    for _ in range(8):
        assert world.verify(world.code()).status_code == 200
        world.settle()
        world.clock.turn(seconds=30)


def test_a_success_gives_back_its_own_try_only(world: World):
    world.enrol()
    fail(world, 4)
    assert world.verify(world.code()).status_code == 200
    world.settle()
    assert fail(world, 2) == [401, 429]


def test_a_known_device_has_its_own(world: World):
    """A stranger with the password must not lock the owner out."""
    world.enrol()
    assert fail(world, 6)[-1] == 429
    assert world.verify(world.wrong_code(), device_id="dev_1").status_code == 401
    assert world.verify(world.code(), device_id="dev_1").status_code == 200
    assert fail(world, 7, device_id="dev_2")[-1] == 429
    assert world.verify(world.wrong_code(), device_id="dev_3").status_code == 401


def test_each_purpose_has_its_own(world: World):
    world.enrol()
    assert fail(world, 6)[-1] == 429
    assert fail(world, 6, purpose="step_up") == [401] * 5 + [429]
    assert fail(world, 6, purpose="phone_verification") == [401] * 5 + [429]


def test_the_step_up_of_each_session_has_its_own(world: World):
    world.enrol()
    assert fail(world, 6, purpose="step_up", binding="ses_1") == [401] * 5 + [429]
    assert world.verify(world.code(), purpose="step_up", binding="ses_1", device_id="dev_1").status_code == 429
    assert world.verify(world.code(), purpose="step_up", binding="ses_2").status_code == 200


def test_the_count_comes_before_the_comparison(world: World):
    """A process that dies while it compares leaves the try counted."""
    world.enrol()
    code, counted = world.give_recovery_codes()[0], []

    class HashingThatLooks:
        def verify(self, *_args):
            counted.append(world.redis.get(f"budget:otp.verify.recovery_code:600:{ACCOUNT}:login:{BINDING}"))
            return False

    world.deps = replace(world.deps, hashing=HashingThatLooks())
    assert world.verify(code).status_code == 401
    assert counted == ["1"]


def test_throttled_tries_are_recorded_and_not_counted(world: World):
    world.enrol()
    fail(world, 6)
    outcomes = [(item["outcome"], item["reason"]) for item in world.attempts()]
    assert outcomes == [("throttled", "too_many_requests")] + [("rejected", "wrong")] * 5
    assert world.state()["consecutive_failures"] == 5


def test_the_record_says_until_when(world: World):
    world.enrol()
    fail(world, 5)
    wait = world.verify(world.code()).json["retry_after"]
    until = rfc3339(world.clock() + timedelta(seconds=wait))
    assert [item["throttled_until"] for item in world.attempts()] == [until] + [None] * 5


@pytest.mark.parametrize("attempted", ["verify", "sms"])
def test_the_owner_of_another_account_is_not_touched(world: World, attempted):
    world.enrol()
    world.enrol("acc_bob")
    if attempted == "verify":
        fail(world, 6)
    else:
        for number in range(6):
            world.send_sms(binding=f"chl_{number}")
    assert world.verify(world.code(account="acc_bob"), account="acc_bob").status_code == 200
    assert world.send_sms(account="acc_bob", phone="+41790000000").status_code == 202
