"""How often a code may be tried, and the stop after a hundred failures."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from services.otp.limits import GUESSES, HARD_STOP, STOP_FOR_STRANGERS, STOP_FOR_STRANGERS_DIGITS
from services.otp.recorder import AttemptRecorder
from shared.clock import parse_rfc3339, rfc3339
from tests.support.otp import ACCOUNT, PHONE, World, counted_statements

IN_A_ROW = f"budget:otp.verify.consecutive:31536000:{ACCOUNT}"


def fail(world: World, times: int, **kwargs) -> list[int]:
    return [world.verify(world.wrong_code(), **kwargs).status_code for _ in range(times)]


def scopes(world: World) -> list[str]:
    """What the owner was told of locks."""
    return [event["scope"] for event in world.events() if event["type"] == "second_factor.locked"]


def locked(world: World) -> tuple[bool, bool]:
    """In new browsers, and everywhere."""
    return world.state()["locked"], world.state()["locked_everywhere"]


NO_BACKUP_CODE = "0AAA-BBBB-CCCC-DDDD"
MINE = {"device_id": "dev_mine"}


def fail_through_all_windows(world: World, times: int, code: str | None = None, **kwargs) -> None:
    for _ in range(times):
        assert world.verify(code or world.wrong_code(), **kwargs).status_code == 401
        world.end_windows()
    world.settle()


class TestBudget:
    def test_five_tries_in_five_minutes(self, world: World):
        world.enrol()
        assert fail(world, 6) == [401] * 5 + [429]
        response = world.verify(world.code())
        assert (response.status_code, response.json["code"]) == (429, "too_many_requests")
        assert 0 < int(response.headers["Retry-After"]) == response.json["retry_after"] <= 300

    def test_every_window_counts(self, world: World):
        world.enrol()
        fail(world, 1)
        counts = {key: world.redis.get(key) for key in world.redis.keys("budget:otp.verify.login:*")}
        assert counts == {f"budget:otp.verify.login:{window.seconds}:{ACCOUNT}": "1" for window in GUESSES}
        assert all(world.redis.ttl(key) > 0 for key in counts)
        world.redis.set(f"budget:otp.verify.login:86400:{ACCOUNT}", 50, ex=100)
        assert fail(world, 1) == [429]

    def test_a_wrong_code_says_how_many_there_were(self, world: World):
        world.enrol()
        assert [world.verify(world.wrong_code()).json["recent_failures"] for _ in range(3)] == [1, 2, 3]

    def test_slow_guesses_add_up(self, world: World):
        """The owner is told of the third in a day: two every five minutes must not go unnoticed."""
        world.enrol()
        fail(world, 2)
        world.redis.delete(f"budget:otp.verify.login:300:{ACCOUNT}")
        assert world.verify(world.wrong_code()).json["recent_failures"] == 3

    def test_a_new_challenge_does_not_renew_it(self, world: World):
        world.enrol()
        statuses = [world.verify(world.wrong_code(), binding=f"chl_{number}").status_code for number in range(6)]
        assert statuses == [401] * 5 + [429]

    def test_all_factors_share_it(self, world: World):
        world.enrol()
        codes = world.give_recovery_codes()
        world.send_sms()
        assert fail(world, 5) == [401] * 5
        assert world.verify(codes[0]).status_code == 429
        assert world.state()["recovery_codes"]["remaining"] == 10

    def test_a_replayed_code_is_a_failure(self, world: World):
        world.enrol()
        assert world.verify(world.code()).status_code == 200
        world.settle()
        assert [world.verify(world.code(), binding="chl_2").status_code for _ in range(6)] == [401] * 5 + [429]

    def test_a_success_is_given_back(self, world: World):
        world.enrol()
        for _ in range(8):
            assert world.verify(world.code()).status_code == 200
            world.settle()
            world.clock.turn(seconds=30)

    def test_a_success_gives_back_its_own_try_only(self, world: World):
        world.enrol()
        fail(world, 4)
        assert world.verify(world.code()).status_code == 200
        world.settle()
        assert fail(world, 2) == [401, 429]

    def test_a_known_device_has_its_own(self, world: World):
        """A stranger with the password must not lock the owner out."""
        world.enrol()
        assert fail(world, 6)[-1] == 429
        assert world.verify(world.wrong_code(), device_id="dev_1").status_code == 401
        assert world.verify(world.code(), device_id="dev_1").status_code == 200
        assert fail(world, 7, device_id="dev_2")[-1] == 429
        assert world.verify(world.wrong_code(), device_id="dev_3").status_code == 401

    def test_each_purpose_has_its_own(self, world: World):
        world.enrol()
        assert fail(world, 6)[-1] == 429
        assert fail(world, 6, purpose="step_up") == [401] * 5 + [429]
        assert fail(world, 6, purpose="phone_verification") == [401] * 5 + [429]

    def test_a_device_id_opens_no_second_budget_for_step_up(self, world: World):
        world.enrol()
        assert fail(world, 5, purpose="step_up") == [401] * 5
        assert world.verify(world.code(), purpose="step_up", device_id="dev_1").status_code == 429

    def test_the_count_comes_before_the_comparison(self, world: World):
        """A process that dies while it compares leaves the try counted."""
        world.enrol()
        code, counted = world.give_recovery_codes()[0], []

        class HashingThatLooks:
            def verify(self, *_args):
                counted.append(world.redis.get(f"budget:otp.verify.login:300:{ACCOUNT}"))
                return False

        world.deps = replace(world.deps, hashing=HashingThatLooks())
        assert world.verify(code).status_code == 401
        assert counted == ["1"]

    def test_throttled_tries_are_recorded_and_not_counted(self, world: World):
        world.enrol()
        fail(world, 6)
        outcomes = [(item["outcome"], item["reason"]) for item in world.attempts()]
        assert outcomes == [("throttled", "too_many_requests")] + [("rejected", "wrong")] * 5
        assert world.state()["consecutive_failures"] == 5

    def test_the_record_says_until_when(self, world: World):
        world.enrol()
        fail(world, 5)
        wait = world.verify(world.code()).json["retry_after"]
        until = rfc3339(world.clock() + timedelta(seconds=wait))
        assert [item["throttled_until"] for item in world.attempts()] == [until] + [None] * 5


class TestFlood:
    """A throttled try costs a stranger nothing, so it may cost us no row."""

    @staticmethod
    def throttled(world: World, account: str = ACCOUNT) -> list[str]:
        return [item["purpose"] for item in world.attempts(account) if item["outcome"] == "throttled"]

    def test_it_is_one_row_a_wait_in_one_batch_and_in_many(self, world: World):
        world.enrol()
        fail(world, 30)
        assert self.throttled(world) == ["login"]
        for _ in range(3):
            fail(world, 2)
            assert self.throttled(world) == ["login"]

    def test_it_is_one_row_over_all_processes(self, world: World):
        world.enrol()
        fail(world, 6)
        world.settle()
        world.deps = replace(world.deps, recorder=AttemptRecorder(world.database, world.redis, world.clock))
        fail(world, 3)
        assert self.throttled(world) == ["login"]

    def test_each_account_purpose_and_device_has_its_own(self, world: World):
        world.enrol()
        world.enrol("acc_bob")
        fail(world, 7)
        fail(world, 7, purpose="step_up")
        fail(world, 7, device_id="dev_1")
        fail(world, 7, device_id="dev_2")
        fail(world, 7, account="acc_bob")
        assert self.throttled(world) == ["login", "login", "step_up", "login"]
        assert self.throttled(world, "acc_bob") == ["login"]

    def test_the_next_wait_has_its_own(self, world: World):
        world.enrol()
        fail(world, 7)
        world.settle()
        world.account("POST", "unlock")
        fail(world, 7)
        assert self.throttled(world) == ["login"] * 2

    def test_the_mark_of_it_ends_with_the_wait(self, world: World):
        world.enrol()
        wait = [world.verify(world.wrong_code()) for _ in range(6)][-1].json["retry_after"]
        world.settle()
        (mark,) = world.redis.keys("otp:throttled:*")
        assert 0 < world.redis.ttl(mark) <= wait

    def test_a_hard_stop_is_told_again_each_hour(self, world: World):
        world.enrol()
        fail_through_all_windows(world, STOP_FOR_STRANGERS_DIGITS)
        fail(world, 9)
        assert self.throttled(world) == ["login"]
        (mark,) = world.redis.keys("otp:throttled:*")
        assert 3500 < world.redis.ttl(mark) <= 3600

    def test_each_stop_of_the_row_of_failures_has_its_own(self, world: World):
        world.enrol()
        fail_through_all_windows(world, HARD_STOP, **MINE)
        for _ in range(2):
            fail(world, 3)
            world.verify(NO_BACKUP_CODE)
            fail(world, 3, **MINE)
        throttled = [item for item in world.attempts() if item["outcome"] == "throttled"]
        assert [item["device_known"] for item in throttled] == [True, False, False]
        world.account("POST", "unlock")
        assert world.redis.keys("otp:throttled:otp.verify.consecutive*") == []

    def test_a_try_without_a_row_still_tells_sql_of_the_hard_stop(self, world: World):
        world.enrol()
        mark = f"otp:throttled:otp.verify.consecutive:{STOP_FOR_STRANGERS_DIGITS}:{ACCOUNT}"
        world.redis.set(mark, 1)  # its row was lost with its process
        world.redis.set(IN_A_ROW, HARD_STOP)
        world.verify(world.code())
        world.settle()
        assert world.state()["locked"] is True
        assert self.throttled(world) == []

    def test_without_redis_a_row_too_many_is_better_than_none(self, world: World, redis_server):
        world.enrol()
        fail(world, 8)
        redis_server.connected = False
        world.settle()
        redis_server.connected = True
        assert self.throttled(world) == ["login"]


class TestThrottles:
    """What support is told of budgets that are spent."""

    @staticmethod
    def throttles(world: World) -> dict[str, str]:
        return {item["purpose"]: item["until"] for item in world.account("GET", "throttles").json["items"]}

    def test_a_spent_budget_is_told_before_any_try_is_refused(self, world: World):
        world.enrol()
        fail(world, 4)
        assert self.throttles(world) == {}
        fail(world, 1)
        told = parse_rfc3339(self.throttles(world)["login"]) - world.clock()
        assert timedelta(minutes=4) < told <= timedelta(minutes=5)
        assert fail(world, 1) == [429]

    def test_the_longest_wait_is_told(self, world: World):
        world.enrol()
        fail(world, 5)
        world.redis.set(f"budget:otp.verify.login:3600:{ACCOUNT}", 20, ex=1800)
        assert parse_rfc3339(self.throttles(world)["login"]) - world.clock() == timedelta(minutes=30)

    def test_looking_counts_nothing(self, world: World):
        world.enrol()
        fail(world, 4)
        for _ in range(3):
            self.throttles(world)
        assert fail(world, 2) == [401, 429]

    def test_unlocking_ends_them(self, world: World):
        world.enrol()
        for purpose in ("login", "step_up", "phone_verification"):
            fail(world, 5, purpose=purpose)
        assert set(self.throttles(world)) == {"login", "step_up", "phone_verification"}
        world.account("POST", "unlock")
        assert self.throttles(world) == {}


class TestStrangers:
    """What somebody who has the password can use up, and what is kept back from him."""

    def test_digits_end_first_in_a_browser_that_the_account_does_not_know(self, world: World):
        world.enrol()
        backup = world.give_recovery_codes()[0]
        fail_through_all_windows(world, STOP_FOR_STRANGERS_DIGITS)
        assert world.verify(world.code()).json["code"] == "second_factor_locked"
        assert world.send_sms().json["code"] == "second_factor_locked"
        assert locked(world) == (True, False)
        assert world.verify(backup).json["factor"] == "recovery_code"
        world.settle()
        assert world.verify(world.code(), binding="chl_2").status_code == 200

    def test_backup_codes_end_next_and_the_owners_browser_goes_on(self, world: World):
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

    def test_a_step_up_goes_on_too(self, world: World):
        """Whoever steps up has signed in; the owner must be able to change the password that another one knows."""
        world.enrol()
        fail_through_all_windows(world, STOP_FOR_STRANGERS, NO_BACKUP_CODE)
        assert world.verify(world.code(), purpose="step_up").status_code == 200

    def test_the_owner_is_told_once(self, world: World):
        world.enrol()
        fail_through_all_windows(world, STOP_FOR_STRANGERS_DIGITS - 1)
        assert scopes(world) == []
        fail_through_all_windows(world, 1)
        fail_through_all_windows(world, STOP_FOR_STRANGERS - STOP_FOR_STRANGERS_DIGITS, NO_BACKUP_CODE)
        for _ in range(3):
            world.verify(world.wrong_code())
            world.settle()
        assert scopes(world) == ["new_browsers"]

    def test_a_success_that_a_stopped_try_overtakes_in_the_record_lifts_it_all_the_same(self, world: World):
        """Refused by a count of before the success, recorded after it: Redis is asked when it is written."""
        world.enrol()
        world.deps.recorder._start = lambda: None
        fail_through_all_windows(world, STOP_FOR_STRANGERS_DIGITS)
        assert world.verify(world.code(), **MINE).status_code == 200
        assert world.verify(world.wrong_code()).json["code"] == "second_factor_locked"
        world.settle()
        assert world.state()["consecutive_failures"] == 0

    def test_what_failed_after_a_success_begins_the_next_row(self, world: World):
        world.enrol()
        world.deps.recorder._start = lambda: None
        fail_through_all_windows(world, 7)
        world.verify(world.code(), **MINE)
        fail(world, 2)
        world.settle()
        assert (world.redis.get(IN_A_ROW), world.state()["consecutive_failures"]) == ("2", 2)

    def test_what_fails_in_another_process_after_a_success_stays_counted(self, world: World):
        world.enrol()
        first = world.deps.recorder
        first._start = lambda: None
        fail_through_all_windows(world, 7)
        world.verify(world.code(), **MINE)
        world.deps = replace(world.deps, recorder=AttemptRecorder(world.database, world.redis, world.clock))
        world.deps.recorder._start = lambda: None
        fail(world, 2)
        first.flush()
        assert world.redis.get(IN_A_ROW) == "2"
        world.settle()
        assert world.state()["consecutive_failures"] == 2


class TestLostRedis:
    def test_the_row_goes_on_where_it_stood(self, world: World):
        world.enrol()
        fail_through_all_windows(world, STOP_FOR_STRANGERS_DIGITS - 2)
        world.redis.flushall()
        assert fail(world, 3) == [401, 401, 429]
        world.settle()
        assert world.redis.get(IN_A_ROW) == str(STOP_FOR_STRANGERS_DIGITS)

    def test_what_is_still_on_its_way_to_sql_counts(self, world: World):
        world.enrol()
        world.deps.recorder._start = lambda: None
        for _ in range(STOP_FOR_STRANGERS_DIGITS - 1):
            assert world.verify(world.wrong_code()).status_code == 401
            world.end_windows()
        world.redis.flushall()
        assert fail(world, 2) == [401, 429]

    def test_a_count_that_fell_behind_sql_is_level_with_it_after_a_batch(self, world: World):
        """As after a failure that a success overtook, or one that was compared while Redis was lost."""
        world.enrol()
        fail_through_all_windows(world, 5)
        world.redis.set(IN_A_ROW, 2, ex=1000)
        fail(world, 1)
        world.settle()
        assert world.redis.get(IN_A_ROW) == "6"
        assert 0 < world.redis.ttl(IN_A_ROW) <= 1000

    def test_sql_that_fell_behind_a_stop_is_level_with_it_once_a_try_meets_it(self, world: World):
        """As after a success that a failure overtook: the stop comes that much early, and all see the same."""
        world.enrol()
        fail_through_all_windows(world, STOP_FOR_STRANGERS_DIGITS - 2)
        world.redis.incr(IN_A_ROW)
        assert fail(world, 2) == [401, 429]
        world.settle()
        assert (world.state()["consecutive_failures"], scopes(world)) == (STOP_FOR_STRANGERS_DIGITS, ["new_browsers"])

    def test_it_costs_one_look_at_sql_and_no_more(self, world: World):
        world.enrol()
        fail_through_all_windows(world, 3)
        world.redis.flushall()
        fail(world, 1)
        with counted_statements(world.database) as statements:
            fail(world, 1)
        assert len(statements) == 1

    def test_what_support_lifted_stays_lifted(self, world: World):
        world.enrol()
        fail_through_all_windows(world, HARD_STOP, **MINE)
        world.account("POST", "unlock", {})
        world.redis.flushall()
        assert world.verify(world.code()).status_code == 200


class TestHardStop:
    def test_after_a_hundred_failures_in_a_row_nothing_is_compared(self, world: World):
        world.enrol()
        fail_through_all_windows(world, HARD_STOP, **MINE)
        response = world.verify(world.code())
        assert (response.status_code, response.json["code"]) == (429, "second_factor_locked")
        assert world.verify(world.code(), purpose="step_up").json["code"] == "second_factor_locked"
        assert world.verify(world.code(), device_id="dev_1").json["code"] == "second_factor_locked"
        assert locked(world) == (True, True)

    def test_it_survives_a_lost_redis(self, world: World):
        world.enrol()
        fail_through_all_windows(world, HARD_STOP, **MINE)
        world.redis.flushall()
        assert world.verify(world.code()).json["code"] == "second_factor_locked"
        assert world.send_sms().json["code"] == "second_factor_locked"

    def test_it_is_exact_before_sql_has_caught_up(self, world: World):
        world.enrol()
        world.redis.set(IN_A_ROW, HARD_STOP - 1)
        assert world.verify(world.wrong_code(), **MINE).status_code == 401
        assert world.verify(world.code(), **MINE).json["code"] == "second_factor_locked"

    def test_sql_catches_up_when_failures_were_lost_on_the_way(self, world: World):
        world.enrol()
        world.redis.set(IN_A_ROW, HARD_STOP)
        assert world.verify(world.code()).json["code"] == "second_factor_locked"
        world.settle()
        assert (world.state()["locked"], world.state()["consecutive_failures"]) == (True, HARD_STOP)
        assert scopes(world) == ["new_browsers", "everywhere"]

    def test_it_is_reported_once(self, world: World):
        world.enrol()
        fail_through_all_windows(world, HARD_STOP, **MINE)
        for _ in range(3):
            world.verify(world.wrong_code(), **MINE)
            world.settle()
        assert scopes(world) == ["new_browsers", "everywhere"]
        first, last = [event["consecutive_failures"] for event in world.events()]
        assert STOP_FOR_STRANGERS_DIGITS <= first < last == HARD_STOP

    def test_a_success_ends_the_row(self, world: World):
        world.enrol()
        fail_through_all_windows(world, HARD_STOP - 1, **MINE)
        assert world.verify(world.code(), **MINE).status_code == 200
        world.settle()
        assert world.state()["consecutive_failures"] == 0
        fail_through_all_windows(world, 2)
        assert world.state() | {"authenticators": []} == {
            "enabled": True, "authenticators": [], "recovery_codes": {"remaining": 0, "created_at": None},
            "locked": False, "locked_everywhere": False, "consecutive_failures": 2,
        }  # fmt: skip

    def test_a_proven_phone_does_not_end_the_row(self, world: World, notify_keys):
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

    def test_support_lifts_it(self, world: World):
        world.enrol()
        fail_through_all_windows(world, HARD_STOP, **MINE)
        fail(world, 1)  # a try that is still on its way to SQL when support acts
        world.clock.turn(seconds=1)
        assert world.account("POST", "unlock", {}).status_code == 204
        world.settle()
        assert world.state()["consecutive_failures"] == 0
        assert world.verify(world.code()).status_code == 200

    def test_failures_that_came_before_do_not_count_after(self, world: World):
        """They were on their way to SQL when support acted."""
        world.enrol()
        fail(world, 3)
        world.clock.turn(seconds=1)
        world.account("POST", "unlock")
        world.settle()
        assert world.state()["consecutive_failures"] == 0

    def test_unlocking_renews_the_windows(self, world: World):
        world.enrol()
        assert fail(world, 6)[-1] == 429
        assert world.account("POST", "unlock").status_code == 204
        assert world.verify(world.code()).status_code == 200

    def test_it_can_lock_and_be_reported_again(self, world: World):
        world.enrol()
        fail_through_all_windows(world, HARD_STOP, **MINE)
        world.clock.turn(seconds=1)
        world.account("POST", "unlock")
        fail_through_all_windows(world, HARD_STOP, **MINE)
        assert scopes(world) == ["new_browsers", "everywhere"] * 2


class TestSends:
    def test_a_resend_waits_half_a_minute(self, world: World):
        world.enrol()
        assert world.send_sms().status_code == 202
        response = world.send_sms()
        assert response.status_code == 429
        assert 0 < response.json["retry_after"] <= 30
        assert world.send_sms(binding="chl_2").status_code == 202

    def test_five_an_account_in_ten_minutes(self, world: World):
        world.enrol()
        statuses = [
            world.send_sms(binding=f"chl_{number}", phone=f"+4179123456{number}").status_code for number in range(6)
        ]
        assert statuses == [202] * 5 + [429]

    def test_a_stranger_with_the_password_uses_up_none_of_the_owners(self, world: World):
        """In the owner's browser, and where the owner proves a phone in an open session."""
        world.enrol()
        assert [world.send_sms(binding=f"chl_{number}").status_code for number in range(6)][-1] == 429
        assert world.send_sms(binding="chl_mine", **MINE).status_code == 202
        assert world.send_sms(purpose="phone_verification", binding="phb_1").status_code == 202

    def test_a_stranger_with_an_account_uses_up_none_of_another_ones_phone(self, world: World):
        world.enrol()
        asked = {"account": "acc_eve", "purpose": "phone_verification"}
        assert [world.send_sms(binding=f"phb_{number}", **asked).status_code for number in range(6)][-1] == 429
        assert world.send_sms().status_code == 202
        assert world.send_sms(binding="chl_2", **MINE).status_code == 202

    def test_known_devices_share_five_in_ten_minutes(self, world: World):
        world.enrol()
        statuses = [world.send_sms(binding=f"chl_{n}", device_id=f"dev_{n}").status_code for n in range(6)]
        assert statuses == [202] * 5 + [429]

    def test_what_was_withdrawn_is_given_back_where_it_was_taken(self, world: World):
        world.enrol()
        message_id = world.send_sms(**MINE).json["message_id"]
        world.account("DELETE", f"sms-challenges/{message_id}", {"purpose": "login", "binding": "chl_1"})
        rows = ("account:600:acc_ann", "device.account:600:acc_ann")
        assert [world.redis.get(f"budget:otp.sms.{row}") for row in rows] == [None, "0"]

    def test_five_a_phone_in_ten_minutes_over_all_accounts(self, world: World):
        for number in range(6):
            world.enrol(f"acc_{number}")
        assert [world.send_sms(account=f"acc_{number}").status_code for number in range(6)] == [202] * 5 + [429]

    def test_no_counter_names_the_phone(self, world: World):
        world.enrol()
        world.send_sms()
        everything = json.dumps([world.redis.keys(), world.redis.hgetall("otp:sms:acc_ann:login:chl_1")])
        assert PHONE.lstrip("+") not in everything


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
