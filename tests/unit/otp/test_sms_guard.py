"""The guards against SMS pumping, over otp's own routes."""

import dataclasses
import json

import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from services.otp import lane_store
from services.otp.domain.lane import Lane
from services.otp.domain.purpose import Purpose
from services.otp.limits import (
    SMS_LANE,
    SMS_PAUSE_LASTS,
    SMS_PROBE,
    SMS_PROBES_NEEDED,
    SMS_UNANSWERED_OF_A_SENDER,
)
from services.otp.sms_metrics import SmsCollector
from shared.envelope import open_envelope
from shared.scraping import READ_EVERY_SECONDS
from shared.web import metrics_of
from tests.support import redis_wire
from tests.support.clock import NOW
from tests.support.otp import World

HOURLY, DAILY = SMS_LANE
UNJUDGED, PAYS_FOR = HOURLY.rule.unjudged_sends, HOURLY.rule.sends_per_verification
PROBES = SMS_PROBE.windows[0].max
RANGE, OTHER_RANGE = "+447400", "+447500"
PAUSED = "otp:sms-paused:phone_verification:447400"


class Crowd:
    """People who each ask for one code, as another account with another phone."""

    def __init__(self, world: World, notify_keys) -> None:
        self.world, self._keys, self._number = world, notify_keys, 0

    def ask(self, *, of=RANGE, purpose="phone_verification"):
        self._number += 1
        self.account = f"acc_{self._number}"
        if purpose == "login":
            self.world.enrol(self.account)
        phone = f"{of}{self._number:06}"
        self.answer = self.world.send_sms(account=self.account, purpose=purpose, phone=phone)
        return self.answer.status_code

    def pump(self, times, **kwargs):
        return [self.ask(**kwargs) for _ in range(times)]

    def enter(self, *, purpose="phone_verification"):
        """The last one who asked enters the code."""
        sealed = self.world.redis.get(f"notify:sealed:{self.answer.json['message_id']}")
        code = open_envelope(self._keys, sealed).body[-6:]
        assert self.world.verify(code, account=self.account, purpose=purpose).json == {"factor": "sms"}
        return code

    def sign_up(self, times, **kwargs):
        for _ in range(times):
            assert self.ask(**kwargs) == 202
            self.enter(purpose=kwargs.get("purpose", "phone_verification"))

    def trip(self, **kwargs):
        assert self.pump(UNJUDGED + 1, **kwargs) == [202] * UNJUDGED + [409]

    def end(self, pattern):
        """These windows are over."""
        self.world.redis.delete(*self.world.redis.keys(pattern) or ["none"])

    def next_round(self):
        self.end("budget:otp.sms.probe:*")
        self.world.redis.delete(*self.world.redis.keys("otp:sms-verified:otp.sms.probe:*") or ["none"])


@pytest.fixture
def crowd(world: World, notify_keys):
    return Crowd(world, notify_keys)


class TestBreaker:
    def test_sends_that_nobody_verifies_stop_after_the_unjudged_ones(self, crowd):
        crowd.trip()
        assert crowd.answer.json["code"] == "sms_unavailable"
        assert crowd.answer.json["cause"] == "destination"
        assert "authenticator app" in crowd.answer.json["detail"]

    def test_a_verification_pays_for_so_many_sends(self, crowd):
        crowd.sign_up(UNJUDGED)
        allowed = UNJUDGED * (PAYS_FOR - 1)
        assert crowd.pump(allowed + 1) == [202] * allowed + [409]

    def test_a_prefix_whose_codes_come_back_never_stops(self, crowd):
        for _ in range(20):
            crowd.pump(PAYS_FOR - 2)
            crowd.sign_up(1)
        assert not crowd.world.redis.exists(PAUSED)

    def test_other_prefixes_and_other_purposes_go_on(self, crowd):
        crowd.trip()
        assert crowd.ask(of=OTHER_RANGE) == 202
        assert crowd.ask(purpose="login") == 202

    def test_pumped_logins_stop_too_and_proofs_go_on(self, crowd):
        crowd.trip(purpose="login")
        assert crowd.ask() == 202

    def test_other_factors_stay(self, crowd):
        crowd.trip(purpose="login")
        world = crowd.world
        assert world.verify(world.code(account=crowd.account), account=crowd.account).json == {"factor": "totp"}

    def test_a_code_that_was_sent_before_the_pause_is_good(self, crowd):
        crowd.pump(UNJUDGED)
        kept = crowd.account, crowd.answer
        assert crowd.ask() == 409
        crowd.account, crowd.answer = kept
        crowd.enter()

    def test_who_is_refused_has_spent_nothing(self, crowd):
        crowd.trip()
        counters = crowd.world.redis.keys(f"budget:otp.sms.*:{crowd.account}*")
        assert len(counters) == 3
        assert {crowd.world.redis.get(key) for key in counters} == {"0"}
        assert crowd.world.redis.get("budget:otp.sms.day:86400:all") == str(UNJUDGED)

    def test_slow_pumping_is_found_by_the_day(self, crowd):
        sent = 0
        while sent < DAILY.rule.unjudged_sends:
            times = min(UNJUDGED, DAILY.rule.unjudged_sends - sent)
            assert crowd.pump(times) == [202] * times
            sent += times
            crowd.end("budget:otp.sms.prefix.hour:*")
            crowd.end("otp:weighed-sends:otp.sms.prefix.hour:*")
        assert crowd.ask() == 409

    def test_a_window_that_ended_takes_its_verifications_along(self, crowd):
        crowd.sign_up(3)
        counter = "budget:otp.sms.prefix.hour:3600:phone_verification:447400"
        verified = "otp:sms-verified:otp.sms.prefix.hour:phone_verification:447400"
        assert crowd.world.redis.get(verified) == "3"
        crowd.world.redis.pexpire(counter, 5000)
        crowd.sign_up(1)
        assert 0 < crowd.world.redis.pttl(verified) <= 5000

    def test_a_code_that_is_told_again_is_one_verification(self, crowd):
        crowd.ask()
        code = crowd.enter()
        again = crowd.world.verify(code, account=crowd.account, purpose="phone_verification")
        assert again.json == {"factor": "sms"}
        verified = "otp:sms-verified:otp.sms.prefix.hour:phone_verification:447400"
        assert crowd.world.redis.get(verified) == "1"

    def test_a_withdrawn_send_was_none(self, crowd):
        crowd.ask()
        path = f"sms-challenges/{crowd.answer.json['message_id']}"
        body = {"purpose": "phone_verification", "binding": "chl_1"}
        crowd.world.account("DELETE", path, body, account=crowd.account)
        crowd.trip()

    def test_however_often_they_come_a_lane_has_its_most(self, crowd):
        crowd.ask()
        crowd.world.redis.set("budget:otp.sms.prefix.hour:3600:phone_verification:447400", 600, ex=100)
        crowd.world.redis.set("otp:sms-verified:otp.sms.prefix.hour:phone_verification:447400", 600, ex=100)
        assert crowd.ask() == 409
        assert crowd.answer.json["cause"] == "destination"
        assert 0 < crowd.answer.json["retry_after"] == int(crowd.answer.headers["Retry-After"]) <= 100
        assert not crowd.world.redis.exists(PAUSED)


class TestSenders:
    """The breaker weighs who sends: an account, or a phone, adds at most two unanswered sends to a window."""

    def send(self, crowd, account, number, times):
        """So many sends of this account to this phone, past the budgets that bound one sender."""
        answers = []
        for _ in range(times):
            crowd.end("budget:otp.sms.proof.*")
            crowd.end("budget:otp.sms.resend:*")
            phone = f"{RANGE}{number:06}"
            crowd.answer = crowd.world.send_sms(account=account, purpose="phone_verification", phone=phone)
            crowd.account = account
            answers.append(crowd.answer.status_code)
        return answers

    def weighed(self, crowd, row=HOURLY):
        key = lane_store.tally_key(row.rate, Lane(Purpose.PHONE_VERIFICATION, "447400"))
        return int(crowd.world.redis.hget(key, "all") or 0)

    def test_two_accounts_pause_nothing(self, crowd):
        for number in range(2 * UNJUDGED):
            assert self.send(crowd, f"acc_thief_{number % 2}", number, 1) == [202]
        assert self.weighed(crowd) == self.weighed(crowd, DAILY) == 2 * SMS_UNANSWERED_OF_A_SENDER
        assert crowd.pump(UNJUDGED - 4) == [202] * (UNJUDGED - 4)

    def test_nor_does_one_phone_with_many_accounts(self, crowd):
        for number in range(2 * UNJUDGED):
            assert self.send(crowd, f"acc_thief_{number}", 7, 1) == [202]
        assert self.weighed(crowd) == SMS_UNANSWERED_OF_A_SENDER

    def test_many_senders_do(self, crowd):
        senders = UNJUDGED // SMS_UNANSWERED_OF_A_SENDER
        for number in range(senders):
            assert self.send(crowd, f"acc_{number}", number, 3) == [202] * 3
        assert self.send(crowd, "acc_more", 999, 1) == [409]

    def test_a_sender_whose_code_came_back_may_add_another(self, crowd):
        for times in range(1, 4):
            assert self.send(crowd, "acc_ann", 1, 1) == [202]
            crowd.enter()
            assert self.weighed(crowd) == times
        self.send(crowd, "acc_ann", 1, 5)
        assert self.weighed(crowd) == 3 + SMS_UNANSWERED_OF_A_SENDER

    def test_the_code_of_a_send_that_was_not_weighed_frees_no_place(self, crowd):
        self.send(crowd, "acc_ann", 1, 3)
        crowd.enter()
        self.send(crowd, "acc_ann", 1, 3)
        assert self.weighed(crowd) == SMS_UNANSWERED_OF_A_SENDER

    def test_a_withdrawn_send_was_not_weighed(self, crowd):
        self.send(crowd, "acc_ann", 1, 1)
        path = f"sms-challenges/{crowd.answer.json['message_id']}"
        body = {"purpose": "phone_verification", "binding": "chl_1"}
        crowd.world.account("DELETE", path, body, account="acc_ann")
        assert self.weighed(crowd) == 0
        self.send(crowd, "acc_ann", 1, 3)
        assert self.weighed(crowd) == SMS_UNANSWERED_OF_A_SENDER

    def test_a_tally_ends_with_its_window(self, crowd):
        self.send(crowd, "acc_ann", 1, 1)
        for row in SMS_LANE:
            key = lane_store.tally_key(row.rate, Lane(Purpose.PHONE_VERIFICATION, "447400"))
            assert 0 < crowd.world.redis.ttl(key) <= row.rate.windows[0].seconds

    def test_a_code_that_an_earlier_release_has_stored_is_good(self, crowd):
        crowd.ask()
        slot = f"otp:sms:{crowd.account}:phone_verification:chl_1"
        [(message_id, stored)] = crowd.world.redis.hgetall(slot).items()
        crowd.world.redis.hset(slot, message_id, json.dumps(json.loads(stored)[:-1]))
        crowd.enter()


class TestPause:
    def test_a_few_probes_a_round_go_out(self, crowd):
        crowd.trip()
        assert crowd.pump(PROBES + 2) == [202] * PROBES + [409] * 2
        assert 0 < crowd.answer.json["retry_after"] <= SMS_PROBE.windows[0].seconds
        crowd.next_round()
        assert crowd.pump(PROBES + 1) == [202] * PROBES + [409]

    def test_probes_whose_codes_come_back_end_it(self, crowd):
        crowd.trip()
        crowd.sign_up(SMS_PROBES_NEEDED)
        assert crowd.pump(UNJUDGED + 1) == [202] * UNJUDGED + [409], "all begins anew"

    def test_it_ends_although_the_probes_are_spent(self, crowd):
        crowd.trip()
        crowd.pump(PROBES - SMS_PROBES_NEEDED)
        crowd.sign_up(SMS_PROBES_NEEDED)
        assert crowd.ask() == 202

    def test_probes_of_two_rounds_do_not_add_up(self, crowd):
        crowd.trip()
        crowd.sign_up(SMS_PROBES_NEEDED - 1)
        crowd.next_round()
        crowd.sign_up(SMS_PROBES_NEEDED - 1)
        crowd.pump(PROBES - SMS_PROBES_NEEDED + 1)
        assert crowd.ask() == 409

    def test_codes_from_before_it_are_no_probes(self, crowd):
        crowd.pump(UNJUDGED - SMS_PROBES_NEEDED)
        waiting = []
        for _ in range(SMS_PROBES_NEEDED):
            crowd.ask()
            waiting.append((crowd.account, crowd.answer))
        assert crowd.ask() == 409
        crowd.pump(PROBES)
        for crowd.account, crowd.answer in waiting:
            crowd.enter()
        assert crowd.ask() == 409

    def test_a_withdrawn_probe_was_none(self, crowd):
        crowd.trip()
        crowd.ask()
        path = f"sms-challenges/{crowd.answer.json['message_id']}"
        body = {"purpose": "phone_verification", "binding": "chl_1"}
        crowd.world.account("DELETE", path, body, account=crowd.account)
        assert crowd.pump(PROBES + 1) == [202] * PROBES + [409]

    def test_an_earlier_one_ends_no_later_one(self, world: World):
        lane = Lane(Purpose.LOGIN, "447400")
        assert lane_store.pause(world.redis, lane, "pau_1", NOW)
        assert not lane_store.pause(world.redis, lane, "pau_2", NOW)
        assert lane_store.resume(world.redis, lane, "pau_1")
        assert lane_store.pause(world.redis, lane, "pau_3", NOW)
        assert not lane_store.resume(world.redis, lane, "pau_1")
        assert lane_store.paused(world.redis, NOW) == [lane]

    def test_it_ends_by_itself(self, crowd):
        crowd.trip()
        assert 0 < crowd.world.redis.ttl(PAUSED) <= SMS_PAUSE_LASTS.total_seconds()
        assert all(crowd.world.redis.ttl(key) > 0 for key in crowd.world.redis.keys("budget:otp.sms.*"))

    def test_beginning_and_end_are_reported_once(self, crowd):
        with structlog.testing.capture_logs() as logs:
            crowd.trip()
            crowd.pump(3 * PROBES)
            crowd.next_round()
            crowd.sign_up(SMS_PROBES_NEEDED)
            crowd.pump(3)
        told = [(line["event"], line["prefix"], line["purpose"]) for line in logs if line["event"].startswith("sms ")]
        assert told == [(f"sms {what}", "447400", "phone_verification") for what in ("paused", "resumed")]
        assert all(RANGE + "0" not in repr(line) for line in logs)


class TestDay:
    @pytest.fixture
    def crowd(self, crowd):
        crowd.world.deps = dataclasses.replace(crowd.world.deps, sms_daily_cap=10)
        return crowd

    def spread(self, crowd, times, purpose):
        return [crowd.ask(of=f"+4474{number:02}", purpose=purpose) for number in range(times)]

    def test_proving_phones_leaves_a_reserve_for_logins(self, crowd):
        assert self.spread(crowd, 9, "phone_verification") == [202] * 8 + [409]
        assert crowd.answer.json["cause"] == "today"
        assert 0 < crowd.answer.json["retry_after"] <= 86400
        assert self.spread(crowd, 3, "login") == [202, 409, 409]

    def test_logins_leave_a_tenth_to_notices(self, crowd):
        assert self.spread(crowd, 10, "login") == [202] * 9 + [409]
        assert crowd.ask() == 409

    def test_notices_count_too(self, crowd):
        crowd.world.redis.set("budget:otp.sms.day:86400:all", 8, ex=100)
        assert self.spread(crowd, 2, "login") == [202, 409]

    def test_each_mark_is_reported_once(self, crowd):
        with structlog.testing.capture_logs() as logs:
            self.spread(crowd, 12, "login")
        told = [(line["purpose"], line["sends"]) for line in logs if line["event"] == "sms of the day spent"]
        assert sorted(told) == [("login", 9), ("phone_verification", 8), ("step_up", 9)]


def test_a_request_costs_the_round_trips_that_it_did(crowd, monkeypatch):
    """One that counts, one that leaves passcode and text."""
    crowd.ask()
    trips = []
    with monkeypatch.context() as patch:
        redis_wire.watch(patch, crowd.world.redis, trips.append)
        crowd.ask()
    assert len(trips) == 2


def test_no_key_holds_more_of_a_phone_than_its_prefix(crowd):
    crowd.trip()
    crowd.sign_up(1)
    keys = crowd.world.redis.keys()
    assert any("447400" in key for key in keys)
    assert not [key for key in keys if "4474000" in key]


class TestMetrics:
    @pytest.fixture
    def scrape(self, crowd):
        seconds, registry = [0.0], CollectorRegistry()
        registry.register(SmsCollector(crowd.world.deps, monotonic=lambda: seconds[0]))

        def scrape():
            seconds[0] += READ_EVERY_SECONDS
            lines = generate_latest(registry).decode().splitlines()
            return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

        return scrape

    def test_they_name_what_is_paused_and_what_the_day_has_cost(self, crowd, scrape):
        assert scrape() == {
            "latchkey_sms_up": "1.0", "latchkey_sms_day_sends": "0.0", "latchkey_sms_day_cap": "5000.0",
        }  # fmt: skip
        crowd.trip()
        paused = 'latchkey_sms_paused{prefix="447400",purpose="phone_verification"}'
        assert scrape().items() >= {(paused, "1.0"), ("latchkey_sms_day_sends", str(float(UNJUDGED)))}
        crowd.sign_up(SMS_PROBES_NEEDED + 1)
        assert paused not in scrape()

    def test_a_pause_that_time_has_ended_is_none(self, crowd, scrape):
        crowd.trip()
        crowd.world.clock.turn(seconds=SMS_PAUSE_LASTS.total_seconds() + 1)
        assert not [name for name in scrape() if "paused" in name]

    def test_a_redis_that_is_away_is_down(self, crowd, scrape, redis_server):
        redis_server.connected = False
        assert scrape() == {"latchkey_sms_up": "0.0"}

    def test_the_service_shows_them(self, world: World):
        assert "latchkey_sms_up" in generate_latest(metrics_of(world.app)).decode()
