"""A hash that was made with other parameters is renewed at sign-in, behind the caller's back and over nothing else."""

import threading

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from deploy.portal import wait_for
from services.auth import password_renewal, session_store
from services.auth.domain.account import StoredPassword
from services.auth.models import accounts as table
from services.auth.store import accounts
from shared.database import reading, writing
from shared.hashing import decoy_hash
from tests.support.auth import PASSWORD, timeline_of
from tests.support.sign_in import challenge, log_in, problem, sessions, trusted_devices, trusted_token

WEAK = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


@pytest.fixture
def old_hash():
    return WEAK.hash(PASSWORD)


@pytest.fixture
def old(make_account, old_hash):
    """2FA off, and a password that was hashed long ago."""
    return make_account("old@example.com", password_hash=old_hash)


def stored(deps, account):
    with reading(deps.database) as connection:
        return accounts.password(connection, account.id).encoded


def changed_at(deps, account):
    with reading(deps.database) as connection:
        return connection.execute(select(table.c.password_changed_at).where(table.c.id == account.id)).scalar_one()


def renewed(deps, account, old_hash):
    return wait_for(lambda: stored(deps, account) != old_hash and stored(deps, account))


def set_hash(deps, account, encoded):
    with writing(deps.database) as connection:
        accounts.set_password_hash(connection, account.id, encoded, deps.clock())


def test_a_right_password_renews_an_old_hash(deps, stranger, old, old_hash):
    assert log_in(stranger, old).json["status"] == "authenticated"
    encoded = renewed(deps, old, old_hash)
    assert not deps.hashing.needs_rehash(encoded)
    assert deps.hashing.verify(encoded, PASSWORD)


def test_it_needs_no_second_factor(deps, stranger, mia, old_hash):
    set_hash(deps, mia, old_hash)
    challenge(stranger, mia)
    renewed(deps, mia, old_hash)


def test_it_ends_nothing_and_the_password_is_as_old_as_before(deps, stranger, otp, mia, clock):
    token = trusted_token(stranger, otp, mia)
    set_hash(deps, mia, weak := WEAK.hash(PASSWORD))
    before, epoch, live = changed_at(deps, mia), session_store.epoch(deps.redis, mia.id), sessions(deps, mia)
    rows = len(timeline_of(deps, mia))
    clock.turn(days=1)
    challenge(stranger, mia)
    renewed(deps, mia, weak)
    assert changed_at(deps, mia) == before
    assert session_store.epoch(deps.redis, mia.id) == epoch
    assert sessions(deps, mia) == live
    assert [row.type for row in timeline_of(deps, mia)[rows:]] == ["password.accepted"]
    assert token
    assert len(trusted_devices(deps, mia)) == 1


def wait_for_hashes(deps):
    """Hashes of later run one after the other, so all that were under way are done."""
    done = threading.Event()
    wait_for(lambda: deps.hashing.hash_later("x", lambda _: done.set()))
    assert done.wait(10)


def test_a_wrong_password_renews_nothing(deps, stranger, old, old_hash):
    log_in(stranger, old, "not it at all")
    wait_for_hashes(deps)
    assert stored(deps, old) == old_hash


def test_a_hash_of_today_stays(deps, stranger, tom, password_hash):
    log_in(stranger, tom)
    wait_for_hashes(deps)
    assert stored(deps, tom) == password_hash


def test_a_password_that_is_changed_meanwhile_stays_changed(deps, old, old_hash):
    new = deps.hashing.hash("nine dry badgers hum softly")
    set_hash(deps, old, new)
    password_renewal.renew(deps, old.id, StoredPassword(old_hash, is_prepared=True), PASSWORD)
    wait_for_hashes(deps)
    assert stored(deps, old) == new


def test_a_login_goes_on_when_another_login_renews_the_hash_meanwhile(deps, stranger, old, watched):
    def renew_once():
        watched.meanwhile = lambda: None
        set_hash(deps, old, deps.hashing.hash(PASSWORD))

    decoy_hash(watched)
    watched.meanwhile = renew_once
    assert log_in(stranger, old).json["status"] == "authenticated"


def test_a_password_that_changes_meanwhile_is_still_refused(deps, stranger, old, watched):
    def change_once():
        watched.meanwhile = lambda: None
        set_hash(deps, old, deps.hashing.hash("nine dry badgers hum softly"))

    decoy_hash(watched)
    watched.meanwhile = change_once
    assert problem(log_in(stranger, old)) == (401, "invalid_credentials")


def test_what_the_database_does_not_take_is_left_to_the_next_sign_in(deps, stranger, old, old_hash):
    with deps.database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER held BEFORE UPDATE OF password_hash ON accounts BEGIN SELECT RAISE(ABORT, 'held'); END"
        )
    assert log_in(stranger, old).json["status"] == "authenticated"
    wait_for(lambda: deps.hashing.hash_later("x", lambda _: None))
    assert stored(deps, old) == old_hash
    with deps.database.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER held")
    wait_for(lambda: log_in(stranger, old) and stored(deps, old) != old_hash)
