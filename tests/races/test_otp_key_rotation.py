"""Secrets are moved to the newest key while they are used, replaced and revoked: nobody is refused, none comes back."""

import contextlib
import dataclasses
from collections import Counter

import pytest
from sqlalchemy import select
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.otp import rewrapping
from services.otp.domain.sealed import Sealed
from services.otp.key_uri import decode_secret
from services.otp.models import ACTIVE, REVOKED, authenticators
from services.otp.rewrapping import rewrap
from services.otp.secrets_box import SecretBox
from shared.database import create_database, reading
from shared.hashing import HashingPool
from shared.keys import KeyList, encode_key
from shared.redis_client import connect
from shared.secret import Secret
from tests.support.otp import World, make_world
from tests.support.threads import at_once

OLD = KeyList.parse(f"k1:{encode_key(b'1' * 32)}")
BOTH = OLD.added(b"2" * 32).used()
NEW = BOTH.dropped()
PEOPLE = [f"acc_{number}" for number in range(6)]  # of more, the writers of one SQLite file would wait too long
MOVERS = 2


@pytest.fixture
def world(real_redis_url, new_database, monkeypatch):
    """Everybody is enrolled under the old key, and the service has been told of the new one."""
    monkeypatch.setattr(rewrapping, "ROWS_AT_ONCE", 5)
    redis, database = connect(Secret(real_redis_url)), create_database(new_database("otp"))
    redis.flushall()
    world = make_world(database, redis, HashingPool(max_waiting=1), f"n1:{encode_key(b'n' * 32)}")
    world.deps = dataclasses.replace(world.deps, secret_box=SecretBox(OLD))
    for account in PEOPLE:
        world.enrol(account)
    world.deps = dataclasses.replace(world.deps, secret_box=SecretBox(BOTH))
    yield world
    world.deps.recorder.close()
    redis.close()
    database.dispose()


def move(world: World) -> rewrapping.Rewrapped:
    return rewrap(world.database, SecretBox(BOTH), world.clock, seen=lambda _count: None)


def rows(world: World):
    with reading(world.database) as connection:
        return connection.execute(select(authenticators).order_by(authenticators.c.account_id)).all()


def assert_all_open_under_the_new_key(world: World, found) -> None:
    box = SecretBox(NEW)
    for row in found:
        secret = box.open(Sealed(row.key_id, row.ciphertext), row.account_id, row.id)
        assert secret == world.secrets[row.account_id]


def move_while_there_are_turns(world: World) -> int:
    """How many were moved. Who gets no turn to write in time is broken off, and the next mover finds what is left."""
    with contextlib.suppress(PoolTimeoutError):
        return move(world).moved
    return 0


def test_codes_are_accepted_once_each_while_their_secrets_are_moved(world: World):
    """Each account's code comes twice at once, in two places, with two movers at work."""
    tries = [(account, binding) for account in PEOPLE for binding in ("chl_1", "chl_2")]

    def act(number):
        if number < MOVERS:
            return move_while_there_are_turns(world)
        account, binding = tries[number - MOVERS]
        return world.verify(world.code(account=account), account=account, binding=binding).status_code

    done = at_once(MOVERS + len(tries), act)
    assert sum(done[:MOVERS]) <= len(PEOPLE)
    answers = Counter(zip((account for account, _ in tries), done[MOVERS:], strict=True))
    assert answers == Counter({(account, status): 1 for account in PEOPLE for status in (200, 401)})
    move(world)
    found = rows(world)
    assert len(found) == len(PEOPLE)
    assert_all_open_under_the_new_key(world, found)
    world.clock.turn(seconds=30)
    world.deps = dataclasses.replace(world.deps, secret_box=SecretBox(NEW))
    assert {world.verify(world.code(account=who), account=who).status_code for who in PEOPLE} == {200}


def test_a_secret_that_is_revoked_meanwhile_does_not_come_back(world: World):
    def act(number):
        if number < MOVERS:
            return move_while_there_are_turns(world)
        return world.account("DELETE", "two-factor", account=PEOPLE[number - MOVERS]).status_code

    assert set(at_once(MOVERS + len(PEOPLE), act)[MOVERS:]) == {200}
    assert {(row.status, row.key_id, row.ciphertext) for row in rows(world)} == {(REVOKED, None, None)}


def test_an_enrollment_that_is_begun_anew_meanwhile_is_the_one_that_counts(world: World):
    """The row that waits is replaced, its id and secret with it, while the earlier one is being moved."""
    world.deps = dataclasses.replace(world.deps, secret_box=SecretBox(OLD))
    newcomers = [f"new_{number}" for number in range(3)]
    for account in newcomers:
        world.account("POST", "enrollments", {"label": "x"}, account=account)

    def act(number):
        if number < MOVERS:
            return move(world)
        return world.account("POST", "enrollments", {"label": "x"}, account=newcomers[number - MOVERS]).json

    begun = at_once(MOVERS + len(newcomers), act)[MOVERS:]
    move(world)
    world.deps = dataclasses.replace(world.deps, secret_box=SecretBox(NEW))
    for account, enrollment in zip(newcomers, begun, strict=True):
        world.secrets[account] = decode_secret(Secret(enrollment["secret"]))
        path, code = f"enrollments/{enrollment['enrollment_id']}/confirm", world.code(account=account)
        assert world.account("POST", path, {"code": code}, account=account).status_code == 200
    assert_all_open_under_the_new_key(world, [row for row in rows(world) if row.status == ACTIVE])


def test_movers_at_once_move_each_secret_once(world: World):
    assert sum(result.moved for result in at_once(MOVERS, lambda _: move(world))) == len(PEOPLE)
    assert_all_open_under_the_new_key(world, rows(world))
