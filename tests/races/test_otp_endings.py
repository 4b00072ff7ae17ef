"""What a session orders at otp against its end: real Redis, real databases of both kinds, real threads."""

import time

import pytest
from nacl.public import PrivateKey

from services.otp import endings, enrollment, recovery_code_store, recovery_codes, store, two_factor
from services.otp.domain.passcode import Passcode
from services.otp.endings import End
from services.otp.enrollment import Confirm
from services.otp.key_uri import decode_secret
from shared.database import create_database, reading
from shared.hashing import HashingPool
from shared.keys import encode_key
from shared.redis_client import connect
from shared.secret import Secret
from tests.support.otp import ACCOUNT, World, make_world
from tests.support.threads import answers_at_once

ROUNDS = 6
PUBLIC = bytes(PrivateKey.generate().public_key)
THIEF = "ses_thief"


class QuickHashing(HashingPool):
    def hash_many(self, passwords):
        return [f"hash of {password}" for password in passwords]


@pytest.fixture
def world(real_redis_url, new_database):
    redis, database = connect(Secret(real_redis_url)), create_database(new_database("otp"))
    redis.flushall()
    world = make_world(
        database,
        redis,
        QuickHashing(max_waiting=1, threads=1),
        f"n1:{encode_key(bytes(PrivateKey.generate().public_key))}",
    )
    yield world
    world.deps.recorder.close()
    redis.close()
    database.dispose()


def _confirm(world: World):
    begun = enrollment.begin(world.deps, ACCOUNT, "ann", THIEF)
    code = Passcode.parse(world.code(secret=decode_secret(begun.secret)))
    return lambda: enrollment.confirm(world.deps, Confirm(ACCOUNT, begun.id, code, THIEF))


def _disable(world: World):
    world.enrol()
    return lambda: two_factor.disable(world.deps, ACCOUNT, THIEF)


def _regenerate(world: World):
    world.enrol()
    return lambda: recovery_codes.regenerate(world.deps, ACCOUNT, THIEF)


def state(world: World):
    with reading(world.database) as connection:
        return store.is_on(connection, ACCOUNT), recovery_code_store.count_recovery_codes(connection, ACCOUNT)[0]


@pytest.mark.parametrize("order", [_confirm, _disable, _regenerate])
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_nothing_that_a_session_ordered_is_done_after_its_end(world: World, order, round_):
    """Whichever came first: what stood when the end was answered stands for good."""
    act = order(world)

    def end_it():
        time.sleep(round_ * 0.002)
        endings.end(world.deps, End(ACCOUNT, (THIEF,)))
        return state(world)

    said, stood = answers_at_once(act, end_it)
    assert state(world) == stood
    if stood == {_confirm: (False, 0), _disable: (True, 0), _regenerate: (True, 0)}[order]:
        assert said in {"session_ended", "enrollment_expired"}


def test_a_second_end_of_a_session_changes_nothing(world: World):
    for _ in range(2):
        endings.end(world.deps, End(ACCOUNT, (THIEF, "ses_other")))
    act = _disable(world)
    assert answers_at_once(act) == ["session_ended"]
    assert state(world) == (True, 0)
