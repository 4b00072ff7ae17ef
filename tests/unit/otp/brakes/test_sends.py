"""How often a code may be sent."""

import json

from tests.support.brakes import MINE
from tests.support.otp import PHONE, World


def test_a_resend_waits_half_a_minute(world: World):
    world.enrol()
    assert world.send_sms().status_code == 202
    response = world.send_sms()
    assert response.status_code == 429
    assert 0 < response.json["retry_after"] <= 30
    assert world.send_sms(binding="chl_2").status_code == 202


def test_five_an_account_in_ten_minutes(world: World):
    world.enrol()
    statuses = [
        world.send_sms(binding=f"chl_{number}", phone=f"+4179123456{number}").status_code for number in range(6)
    ]
    assert statuses == [202] * 5 + [429]


def test_a_stranger_with_the_password_uses_up_none_of_the_owners(world: World):
    """In the owner's browser, and where the owner proves a phone in an open session."""
    world.enrol()
    assert [world.send_sms(binding=f"chl_{number}").status_code for number in range(6)][-1] == 429
    assert world.send_sms(binding="chl_mine", **MINE).status_code == 202
    assert world.send_sms(purpose="phone_verification", binding="phb_1").status_code == 202


def test_a_stranger_with_an_account_uses_up_none_of_another_ones_phone(world: World):
    world.enrol()
    asked = {"account": "acc_eve", "purpose": "phone_verification"}
    assert [world.send_sms(binding=f"phb_{number}", **asked).status_code for number in range(6)][-1] == 429
    assert world.send_sms().status_code == 202
    assert world.send_sms(binding="chl_2", **MINE).status_code == 202


def test_known_devices_share_five_in_ten_minutes(world: World):
    world.enrol()
    statuses = [world.send_sms(binding=f"chl_{n}", device_id=f"dev_{n}").status_code for n in range(6)]
    assert statuses == [202] * 5 + [429]


def test_what_was_withdrawn_is_given_back_where_it_was_taken(world: World):
    world.enrol()
    message_id = world.send_sms(**MINE).json["message_id"]
    world.account("DELETE", f"sms-challenges/{message_id}", {"purpose": "login", "binding": "chl_1"})
    rows = ("account:600:acc_ann", "device.account:600:acc_ann")
    assert [world.redis.get(f"budget:otp.sms.{row}") for row in rows] == [None, "0"]


def test_five_a_phone_in_ten_minutes_over_all_accounts(world: World):
    for number in range(6):
        world.enrol(f"acc_{number}")
    assert [world.send_sms(account=f"acc_{number}").status_code for number in range(6)] == [202] * 5 + [429]


def test_no_counter_names_the_phone(world: World):
    world.enrol()
    world.send_sms()
    everything = json.dumps([world.redis.keys(), world.redis.hgetall("otp:sms:acc_ann:login:chl_1")])
    assert PHONE.lstrip("+") not in everything
