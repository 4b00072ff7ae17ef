"""A backup code that stands on no sheet costs what a wrong one costs: no time to be told apart by (ASVS 6.3.8)."""

from dataclasses import replace

import pytest

from shared.hashing import decoy_hash
from tests.support.otp import World, counted_statements

NOBODYS = "0AAA-BBBB-CCCC-DDDD"


class WatchedHashing:
    """A hashing pool that notes the hashes that codes are compared with."""

    def __init__(self, pool):
        self._pool = pool
        self.compared = []

    def hash(self, text):
        return self._pool.hash(text)

    def hash_here(self, text):
        return self._pool.hash_here(text)

    def hash_many(self, texts):
        return self._pool.hash_many(texts)

    def verify(self, encoded, text):
        self.compared.append(encoded)
        return self._pool.verify(encoded, text)


@pytest.fixture
def watched(world: World):
    watched = WatchedHashing(world.deps.hashing)
    world.deps = replace(world.deps, hashing=watched)
    world.enrol()
    return watched


def tried(world: World, watched, code):
    """The parameters of the hashes, and the statements, of one refused try."""
    watched.compared.clear()
    with counted_statements(world.database) as statements:
        answer = world.verify(code)
    assert (answer.status_code, answer.json["reason"]) == (401, "wrong")
    return [encoded.split("$")[1:4] for encoded in watched.compared], list(statements)


def test_an_account_without_a_sheet_costs_one_hash_of_the_same_kind(world: World, watched):
    decoy_hash(watched)
    world.begin_row()
    without = tried(world, watched, NOBODYS)
    world.give_recovery_codes()
    world.settle()
    with_sheet = tried(world, watched, NOBODYS)
    assert without[0] == with_sheet[0] == [["argon2id", "v=19", "m=19456,t=2,p=1"]]
    assert [statement.split()[0] for statement in without[1]] == [statement.split()[0] for statement in with_sheet[1]]


def test_the_decoy_is_nobodys(world: World, watched):
    assert decoy_hash(watched) is decoy_hash(watched)
    assert world.verify(NOBODYS).json["reason"] == "wrong"
    assert world.attempts()[0]["outcome"] == "rejected"


def test_an_expired_text_is_compared_like_a_wrong_one(world: World, watched, notify_keys):
    """What is left to tell a right code that has expired is nothing: it was let go before the comparison."""
    from shared.envelope import open_envelope

    message_id = world.send_sms().json["message_id"]
    code = open_envelope(notify_keys, world.redis.get(f"notify:sealed:{message_id}")).body[-6:]
    world.clock.turn(minutes=5, seconds=1)
    assert tried(world, watched, code)[0] == tried(world, watched, world.wrong_code())[0] == []
    expired, wrong = tried(world, watched, code), tried(world, watched, world.wrong_code())
    assert expired == wrong
