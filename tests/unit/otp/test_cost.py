"""What an attempt costs: one Redis round trip and one SQL read refused, one more statement accepted (issue: speed)."""

import threading

import pytest

from shared.envelope import open_envelope
from tests.support import redis_wire
from tests.support.otp import World, counted_statements


@pytest.fixture
def trips(world: World, monkeypatch):
    """What the request's thread asks Redis, one entry a round trip."""
    thread, seen = threading.get_ident(), []

    def sent(command):
        if threading.get_ident() == thread:
            seen.append(command)

    redis_wire.watch(monkeypatch, world.redis, sent)
    return seen


@pytest.fixture
def warm(world: World):
    """Scripts are loaded, the connection is open, and Redis knows the account's row of failures."""
    world.enrol()
    world.verify(world.code())
    world.settle()
    world.clock.turn(seconds=90)
    return world


def test_a_refused_code(warm: World, trips):
    with counted_statements(warm.database) as statements:
        assert warm.verify(warm.wrong_code()).status_code == 401
    assert len(trips) == 1
    assert [statement.split()[0] for statement in statements] == ["SELECT"]


def test_a_replayed_code(warm: World, trips):
    warm.verify(warm.code())
    warm.settle()
    trips.clear()
    with counted_statements(warm.database) as statements:
        assert warm.verify(warm.code(), binding="chl_2").json["reason"] == "replayed"
    assert len(trips) == 1
    assert [statement.split()[0] for statement in statements] == ["SELECT"]


def test_an_accepted_totp(warm: World, trips):
    with counted_statements(warm.database) as statements:
        assert warm.verify(warm.code()).status_code == 200
    assert len(trips) == 1
    assert [statement.split()[0] for statement in statements] == ["SELECT", "UPDATE"]


def test_an_accepted_sms_code(warm: World, trips, notify_keys):
    message_id = warm.send_sms().json["message_id"]
    code = open_envelope(notify_keys, warm.redis.get(f"notify:sealed:{message_id}")).body[-6:]
    warm.verify(warm.wrong_code())  # Redis knows both scripts of a request; that of the claim travels once, below
    trips.clear()
    with counted_statements(warm.database) as statements:
        assert warm.verify(code).json == {"factor": "sms"}
    assert len([command for command in trips if b"EVALSHA" in command]) == 2
    assert [statement.split()[0] for statement in statements] == ["SELECT"]


def test_a_repeated_code(warm: World, trips):
    warm.verify(warm.code())
    warm.settle()
    trips.clear()
    with counted_statements(warm.database) as statements:
        assert warm.verify(warm.code()).status_code == 200
    assert len(trips) == 1
    assert [statement.split()[0] for statement in statements] == ["SELECT", "UPDATE", "SELECT"]


def test_a_throttled_try(warm: World, trips):
    for _ in range(5):
        warm.verify(warm.wrong_code())
    trips.clear()
    with counted_statements(warm.database) as statements:
        assert warm.verify(warm.code()).status_code == 429
    assert len(trips) == 1
    assert statements == []


def test_a_wrong_recovery_code(warm: World, trips):
    warm.give_recovery_codes()
    trips.clear()
    with counted_statements(warm.database) as statements:
        assert warm.verify("0AAA-BBBB-CCCC-DDDD").status_code == 401
    assert len(trips) == 1
    assert [statement.split()[0] for statement in statements] == ["SELECT"]


def test_a_spent_recovery_code(warm: World, trips):
    code = warm.give_recovery_codes()[0]
    warm.verify(code)
    warm.settle()
    trips.clear()
    with counted_statements(warm.database) as statements:
        assert warm.verify(code, binding="chl_2").json["reason"] == "spent"
    assert len(trips) == 1
    assert [statement.split()[0] for statement in statements] == ["SELECT"]


def test_the_first_code_of_an_account_in_a_year(warm: World, trips):
    """Redis has no count of it: SQL is asked, the count is put there, and the try is counted."""
    warm.enrol("acc_bob")
    with counted_statements(warm.database) as statements:
        assert warm.verify(warm.wrong_code("acc_bob"), account="acc_bob").status_code == 401
    assert len(trips) == 3
    assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT"]


def test_a_redis_that_forgot_the_scripts_counts_once(warm: World):
    warm.redis.script_flush()
    assert warm.verify(warm.wrong_code()).json["recent_failures"] == 1
