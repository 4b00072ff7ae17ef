import shutil
import sqlite3
from contextlib import closing

import fakeredis
import pytest
from nacl.public import PrivateKey

from shared.database import create_database
from shared.hashing import HashingPool
from shared.keys import KeyList, encode_key
from shared.migrations import upgrade
from tests.support.otp import make_world


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("otp") / "migrated.sqlite3"
    upgrade("otp", f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that copying this one file copies everything
    return path


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
    path = tmp_path / "otp.sqlite3"
    shutil.copy(migrated_file, path)
    engine = create_database(f"sqlite:///{path}")
    yield engine
    engine.dispose()


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
    path = tmp_path_factory.mktemp("still") / "otp.sqlite3"
    shutil.copy(migrated_file, path)
    engine = create_database(f"sqlite:///{path}")
    yield make_world(engine, fakeredis.FakeRedis(decode_responses=True), hashing, notify_public_key)
    engine.dispose()
