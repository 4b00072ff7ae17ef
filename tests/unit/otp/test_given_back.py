"""A try on which nothing was compared costs nothing; one that was found wrong is paid for, whatever fails then."""

import contextlib
import dataclasses

import fakeredis
import pyotp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from services.otp.secrets_box import SecretBox
from shared.database import create_database
from shared.envelope import open_envelope
from shared.hashing import HashingPool
from shared.ids import new_id
from shared.keys import KeyList, encode_key
from shared.problems import Unavailable
from tests.support import redis_wire
from tests.support.clock import NOW
from tests.support.migrated import copied
from tests.support.otp import ACCOUNT, World, make_world

COUNTERS = ("login:300", "login:3600", "login:86400", "consecutive:31536000")


class FullHashing(HashingPool):
    def __init__(self):
        super().__init__(max_waiting=1)

    def verify(self, *_args):
        raise Unavailable("password hashing")

    def hash_many(self, *_args):
        raise Unavailable("password hashing")


def counted(world: World, account: str = ACCOUNT) -> list[int]:
    world.settle()
    return [int(world.redis.get(f"budget:otp.verify.{name}:{account}") or 0) for name in COUNTERS]


@contextlib.contextmanager
def without_database(world: World):
    kept, gone = world.deps, create_database("sqlite:////nowhere/at/all.sqlite3")
    world.deps = dataclasses.replace(kept, database=gone)
    yield
    world.deps = kept
    gone.dispose()


@contextlib.contextmanager
def without_key(world: World):
    kept = world.deps
    world.deps = dataclasses.replace(kept, secret_box=SecretBox(KeyList.parse(f"s9:{encode_key(b'9' * 32)}")))
    yield
    world.deps = kept


@contextlib.contextmanager
def without_claims(world: World):
    """What is read is right, and nothing can be written."""
    for table in ("authenticators", "recovery_codes"):
        world.sql(f"CREATE TRIGGER no_{table} BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END")
    yield
    for table in ("authenticators", "recovery_codes"):
        world.sql(f"DROP TRIGGER no_{table}")


@contextlib.contextmanager
def in_order(_world: World):
    yield


@pytest.mark.parametrize("outage", [without_database, without_key])
def test_obedient_retries_of_a_good_code_do_not_lock_it_out(world: World, outage):
    world.enrol()
    with outage(world):
        for _ in range(12):
            assert world.verify(world.code()).status_code == 503
            world.settle()
    assert counted(world) == [0, 0, 0, 0]
    assert world.verify(world.code()).status_code == 200


def test_a_full_hashing_pool_costs_nothing(world: World):
    world.enrol()
    code = world.give_recovery_codes()[0]
    kept, world.deps = world.deps, dataclasses.replace(world.deps, hashing=FullHashing())
    for _ in range(12):
        assert world.verify(code).status_code == 503
        world.settle()
    world.deps = kept
    assert counted(world) == [0, 0, 0, 0]
    assert world.verify(code).status_code == 200


def test_a_full_hashing_pool_costs_no_confirmation(world: World):
    begun = world.account("POST", "enrollments", {"label": "ann@example.com"}).json
    path, body = f"enrollments/{begun['enrollment_id']}/confirm", {"code": pyotp.TOTP(begun["secret"]).at(NOW)}
    kept, world.deps = world.deps, dataclasses.replace(world.deps, hashing=FullHashing())
    for _ in range(12):
        assert world.account("POST", path, body).status_code == 503
    world.deps = kept
    assert world.account("POST", path, body).status_code == 200


@pytest.mark.parametrize("factor", ["totp", "recovery_code"])
def test_a_right_code_that_could_not_be_claimed_costs_nothing_and_is_good_again(world: World, factor):
    world.enrol()
    code = world.code() if factor == "totp" else world.give_recovery_codes()[0]
    with without_claims(world):
        for _ in range(12):
            assert world.verify(code).status_code == 503
            world.settle()
    assert counted(world) == [0, 0, 0, 0]
    assert world.verify(code).json["factor"] == factor


def test_an_sms_code_whose_claim_was_not_answered_is_good_again(world: World, notify_keys, monkeypatch):
    world.enrol()
    message_id = world.send_sms().json["message_id"]
    code = open_envelope(notify_keys, world.redis.get(f"notify:sealed:{message_id}")).body[-6:]

    def lose_the_answer(command):
        if b"otp:sms-accepted" in command and b"budget:otp.verify" not in command:
            raise RedisConnectionError("lost")

    with monkeypatch.context() as patch:
        redis_wire.watch(patch, world.redis, lose_the_answer)
        assert world.verify(code).status_code == 503
    assert counted(world) == [0, 0, 0, 0]
    assert world.verify(code).json == {"factor": "sms"}
    assert counted(world) == [0, 0, 0, 0]


def test_a_wrong_code_is_wrong_and_paid_for_though_the_coach_finds_no_redis(world: World, monkeypatch):
    world.enrol()
    world.verify(world.wrong_code())

    def lose_the_answer(command):
        if b"otp:clock:" in command:
            raise RedisConnectionError("lost")

    with monkeypatch.context() as patch:
        redis_wire.watch(patch, world.redis, lose_the_answer)
        refused = world.verify(world.code(5))
    assert (refused.status_code, refused.json["reason"]) == (401, "clock_skew")
    assert "clock_skew_seconds" not in refused.json
    assert counted(world) == [2, 2, 2, 2]


def test_a_refund_that_redis_does_not_take_leaves_the_try_counted(world: World, redis_server):
    world.enrol()
    world.begin_row()
    world.deps.recorder._start = lambda: None
    with without_database(world):
        assert world.verify(world.code()).status_code == 503
    redis_server.connected = False
    world.settle()
    redis_server.connected = True
    assert counted(world) == [1, 1, 1, 1]


def test_it_is_given_back_before_the_caller_may_come_again(world: World):
    """By itself, within the two seconds of Retry-After."""
    world.enrol()
    world.begin_row()
    with without_database(world):
        world.verify(world.code())
    taken = f"budget:otp.verify.login:300:{ACCOUNT}"
    for _ in range(200):
        if world.redis.get(taken) == "0":
            break
        world.deps.recorder._closing.wait(0.01)
    assert world.redis.get(taken) == "0"


@pytest.mark.parametrize("outage", [without_database, without_key])
def test_a_first_code_that_could_not_be_looked_at_costs_nothing(world: World, outage):
    begun = world.account("POST", "enrollments", {"label": "ann@example.com"}).json
    confirm, code = f"enrollments/{begun['enrollment_id']}/confirm", pyotp.TOTP(begun["secret"]).at(NOW)
    with outage(world):
        for _ in range(6):
            assert world.account("POST", confirm, {"code": code}).status_code == 503
    assert world.account("POST", confirm, {"code": code}).status_code == 200


@pytest.fixture(scope="module")
def law_world(migrated_file, tmp_path_factory, hashing, notify_public_key):
    with copied(migrated_file, tmp_path_factory.mktemp("law")) as engine:
        world = make_world(engine, fakeredis.FakeRedis(decode_responses=True), hashing, notify_public_key)
        yield world
        world.deps.recorder.close()


TRIES = st.tuples(
    st.sampled_from(["wrong", "right", "again", "elsewhere"]),
    st.sampled_from([in_order, in_order, without_database, without_key, without_claims]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tries=st.lists(TRIES, max_size=12))
def test_what_was_found_wrong_is_counted_and_nothing_else(law_world: World, tries):
    """Whatever comes in which order: every 401 is paid for, no 503 and no success is, and only good codes pass."""
    world, account, refused, failures, accepted = law_world, new_id("acc"), 0, 0, None
    world.enrol(account)
    for what, outage in tries:
        if what == "right":
            world.clock.turn(seconds=30)
        code = world.wrong_code(account) if what == "wrong" else world.code(account=account)
        binding = "chl_2" if what == "elsewhere" else "chl_1"
        with outage(world):
            status = world.verify(code, account=account, binding=binding).status_code
        allowed = {200, 503} if what != "wrong" else {401, 503}
        if what == "elsewhere" and accepted is not None and accepted != (code, binding):
            allowed = allowed - {200} | {401} if accepted[0] == code else allowed
        if what == "again" and accepted is not None and accepted[0] == code and accepted[1] != binding:
            allowed = {401, 503}
        assert status in allowed | {429}
        assert status != 200 or outage in {in_order, without_claims}
        if status == 200 and accepted != (code, binding):
            accepted, failures = (code, binding), 0
        refused, failures = refused + (status == 401), failures + (status == 401)
        assert counted(world, account) == [refused, refused, refused, failures]
    assert refused <= 5
