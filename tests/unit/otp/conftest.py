from datetime import timedelta

import fakeredis
import pytest
from nacl.public import PrivateKey

from services.otp import after_restore, journaled
from services.otp.after_restore import Order
from shared.hashing import HashingPool
from shared.journal import Journal
from shared.keys import KeyList, encode_key
from tests.support.migrated import Backup, copied, migrated
from tests.support.otp import make_world

KEYS_OF_JOURNAL = KeyList.parse(f"j1:{encode_key(b'j' * 32)}")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    return migrated("otp", tmp_path_factory.mktemp("otp"))


@pytest.fixture(scope="session")
def hashing():
    return HashingPool(max_waiting=4, patience_seconds=20)


@pytest.fixture(scope="session")
def notify_private_key():
    return bytes(PrivateKey.generate())


@pytest.fixture(scope="session")
def notify_public_key(notify_private_key):
    return f"n1:{encode_key(bytes(PrivateKey(notify_private_key).public_key))}"


@pytest.fixture(scope="session")
def notify_keys(notify_private_key):
    return KeyList.parse(f"n1:{encode_key(notify_private_key)}")


@pytest.fixture
def database(migrated_file, tmp_path):
    with copied(migrated_file, tmp_path) as engine:
        yield engine


@pytest.fixture
def redis_server():
    return fakeredis.FakeServer()


@pytest.fixture
def redis(redis_server):
    return fakeredis.FakeRedis(server=redis_server, decode_responses=True)


@pytest.fixture
def world(database, redis, hashing, notify_public_key):
    world = make_world(database, redis, hashing, notify_public_key)
    yield world
    world.deps.recorder.close()


@pytest.fixture(scope="module")
def still_world(migrated_file, tmp_path_factory, hashing, notify_public_key):
    """A world for tests of what is refused at the door: making one costs more than they do, and they change nothing."""
    with copied(migrated_file, tmp_path_factory.mktemp("still")) as engine:
        yield make_world(engine, fakeredis.FakeRedis(decode_responses=True), hashing, notify_public_key)


@pytest.fixture
def journal(world, tmp_path):
    journal = Journal(tmp_path / "otp.journal", KEYS_OF_JOURNAL, "otp")
    journaled.keep(world.database, journal, world.clock)
    return journal


@pytest.fixture
def backup(world):
    return Backup(world.database, world.clock, world.settle)


@pytest.fixture
def work(world, backup, journal):
    def run(*restored, keep=True, told=None, entries=None):
        if entries is None:
            entries = [entry for entry in journal.read().entries if entry.at > backup.taken_at - timedelta(minutes=5)]
        order = Order(backup.taken_at, frozenset(restored or ("otp",)), keep, entries, told or {})
        return {(one.account_id, one.kind) for one in after_restore.carry_out(world.worker_deps, order, lambda _: None)}

    return run
