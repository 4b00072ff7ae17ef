import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared import delivery
from shared.deadline import TIME_LEFT_HEADER
from shared.envelope import open_envelope
from shared.keys import encode_key
from tests.support.clock import NOW, TurnedClock
from tests.support.otp import ACCOUNT, API_KEY, BINDING, PHONE, World


def opened(world: World, keys, message_id):
    return open_envelope(keys, world.redis.get(f"notify:sealed:{message_id}"))


def test_the_answer_is_what_auth_needs_and_no_secret(world: World, notify_keys):
    world.enrol()
    response = world.send_sms()
    assert response.status_code == 202
    body = response.json
    assert body.keys() == {"message_id", "reference", "phone_hint", "expires_at", "resend_after", "deadline"}
    assert body["phone_hint"] == "+*******4567"
    assert body["expires_at"] == "2026-11-24T05:05:00.000000Z"
    assert body["resend_after"] == "2026-11-24T05:00:30.000000Z"
    assert body["deadline"] == "2026-11-24T05:04:30.000000Z"
    envelope = opened(world, notify_keys, body["message_id"])
    code = envelope.body[-6:]
    assert envelope.recipient == PHONE
    assert envelope.expires_at == NOW + timedelta(minutes=5)
    assert f"(ref {body['reference']})" in envelope.body
    assert envelope.body.splitlines()[-1] == f"@portal.example #{code}"
    assert code not in response.text
    assert PHONE not in response.text


def test_redis_holds_neither_code_nor_phone(world: World, notify_keys):
    world.enrol()
    message_id = world.send_sms().json["message_id"]
    code = opened(world, notify_keys, message_id).body[-6:]
    held = [world.redis.dump(key) for key in world.redis.keys("*")]
    text = json.dumps(
        [world.redis.hgetall("otp:sms:acc_ann:login:chl_1"), world.redis.get(f"notify:sealed:{message_id}")]
    )
    assert held
    assert code not in text
    assert PHONE[1:] not in text


def test_everything_ends_by_itself(world: World):
    world.enrol()
    message_id = world.send_sms().json["message_id"]
    for key in (f"notify:sealed:{message_id}", "otp:sms:acc_ann:login:chl_1"):
        assert 0 < world.redis.ttl(key) <= 300
    assert 0 < world.redis.ttl("otp:sms-slots:acc_ann") <= 360  # a code that is accepted last is known for a minute


def test_notify_can_claim_it(world: World):
    world.enrol()
    sent = world.send_sms().json
    deadline = datetime.fromisoformat(sent["deadline"])
    assert isinstance(delivery.claim(world.redis, sent["message_id"], NOW, deadline), delivery.Claimed)


def test_a_resend_supersedes_the_text_that_waits(world: World):
    world.enrol()
    first = world.send_sms().json
    world.let_resend()
    second = world.send_sms().json
    assert first["message_id"] != second["message_id"]
    assert world.redis.get(f"notify:sealed:{first['message_id']}") is None
    assert world.redis.get(f"notify:sealed:{second['message_id']}") is not None


def test_sms_is_never_the_only_factor(world: World):
    response = world.send_sms()
    assert (response.status_code, response.json["code"]) == (409, "two_factor_off")
    assert world.redis.keys() == []


def test_a_phone_is_proven_without_2fa(world: World):
    assert world.send_sms(purpose="phone_verification").status_code == 202


def test_step_up_takes_an_sms_where_2fa_is_on(world: World):
    assert world.send_sms(purpose="step_up", binding="ses_1").json["code"] == "two_factor_off"
    world.enrol()
    assert world.send_sms(purpose="step_up", binding="ses_1").status_code == 202


@pytest.mark.parametrize(
    "phone", ["0791234567", "+41 79 123 45 67", "+٤١٧٩١٢٣٤٥٦٧", "", "+0123456789", 41791234567, None]
)
def test_only_e164_numbers(world: World, phone):
    world.enrol()
    assert world.send_sms(phone=phone).status_code == 422


class TestWithdraw:
    def withdraw(self, world: World, message_id, purpose="login", binding="chl_1", account=ACCOUNT):
        return world.account(
            "DELETE", f"sms-challenges/{message_id}", {"purpose": purpose, "binding": binding}, account=account
        )

    def test_nothing_of_it_is_left_and_nothing_is_spent(self, world: World, notify_keys):
        world.enrol()
        message_id = world.send_sms().json["message_id"]
        code = opened(world, notify_keys, message_id).body[-6:]
        assert self.withdraw(world, message_id).status_code == 204
        assert world.redis.get(f"notify:sealed:{message_id}") is None
        assert world.verify(code).status_code == 401
        budgets = {key: world.redis.get(key) for key in world.redis.keys("budget:otp.sms.*")}
        assert len(budgets) == 8
        assert set(budgets.values()) == {"0"}
        assert world.send_sms().status_code == 202

    def test_twice_gives_back_once(self, world: World):
        world.enrol()
        kept = world.send_sms(binding="chl_2").json["message_id"]
        message_id = world.send_sms().json["message_id"]
        for _ in range(2):
            assert self.withdraw(world, message_id).status_code == 204
        assert world.redis.get(f"budget:otp.sms.account:600:{ACCOUNT}") == "1"
        assert world.redis.get(f"notify:sealed:{kept}") is not None

    def test_the_previous_code_lives_on(self, world: World, notify_keys):
        world.enrol()
        first = world.send_sms().json["message_id"]
        code = opened(world, notify_keys, first).body[-6:]
        world.let_resend()
        self.withdraw(world, world.send_sms().json["message_id"])
        assert world.verify(code).json == {"factor": "sms"}


def test_no_text_is_minted_for_a_caller_that_gave_up_and_its_send_is_given_back(world: World):
    world.enrol()
    clock = world.clock

    def slow_clock():
        time.sleep(0.15)
        return clock()

    world.deps = replace(world.deps, clock=slow_clock)
    body = {"purpose": "login", "binding": BINDING, "phone": PHONE}
    headers = {"Authorization": f"Bearer {encode_key(API_KEY)}", TIME_LEFT_HEADER: "100"}
    answer = world.app.test_client().post(f"/accounts/{ACCOUNT}/sms-challenges", json=body, headers=headers)
    assert (answer.status_code, answer.json["code"], answer.json["part"]) == (503, "service_unavailable", "deadline")
    assert [*world.redis.keys("otp:sms:*"), *world.redis.keys("notify:sealed:*")] == []
    world.deps = replace(world.deps, clock=clock)
    assert world.send_sms().status_code == 202


def test_a_code_that_an_earlier_release_has_stored_is_good(world: World, notify_keys):
    """It knew of no prefixes, and stored four values."""
    world.enrol()
    message_id = world.send_sms().json["message_id"]
    (slot,) = world.redis.keys("otp:sms:*")
    world.redis.hset(slot, message_id, json.dumps(json.loads(world.redis.hget(slot, message_id))[:4]))
    assert world.verify(opened(world, notify_keys, message_id).body[-6:]).json == {"factor": "sms"}


def test_times_are_aware_utc(world: World):
    world.enrol()
    assert datetime.fromisoformat(world.send_sms().json["deadline"]).tzinfo == UTC


def test_a_machine_whose_clock_is_off_writes_and_reads_by_the_one_of_all(world: World, notify_keys):
    """Whoever sends the code, and whoever reads it, is another process; of app codes nobody else can tell."""
    world.enrol()
    world.deps = replace(world.deps, totp_clock=TurnedClock(NOW - timedelta(minutes=5)))
    sent = world.send_sms().json
    assert sent["deadline"] == "2026-11-24T05:04:30.000000Z"
    assert world.verify(world.code()).json["reason"] == "clock_skew"
    assert world.verify(world.code(-10)).json["factor"] == "totp"
