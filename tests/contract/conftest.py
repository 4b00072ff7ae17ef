"""A Redis of its own for each file that asks for one, and auth and otp over it, for what their commands do."""

import contextlib
import threading
from datetime import UTC, datetime, timedelta

import pytest
from werkzeug.serving import make_server

from services.auth.deps import Deps
from shared.clock import system_clock
from shared.hashing import HashingPool
from shared.redis_client import connect
from shared.secret import Secret
from tests.support import auth
from tests.support.auth import FakeOtp, ListPublisher
from tests.support.clock import TurnedClock
from tests.support.free_port import free_port
from tests.support.migrated import copied, migrated
from tests.support.otp import make_world
from tests.support.redis_process import redis_process
from tests.support.restoring import Auth, Otp
from tests.support.signing import SIGNERS


@pytest.fixture(scope="module")
def running():
    with redis_process() as running:
        yield running


@pytest.fixture
def server(running):
    return running[0]


@pytest.fixture
def served():
    """Serve an app on a port of its own; returns its URL."""
    with contextlib.ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))


@contextlib.contextmanager
def serving(app):
    port = free_port()
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def migrated_files(tmp_path_factory):
    return {name: migrated(name, tmp_path_factory.mktemp(name)) for name in ("auth", "otp")}


@pytest.fixture(scope="session")
def pool():
    return HashingPool(max_waiting=4, patience_seconds=20)


@pytest.fixture
def taken_at():
    """When the backup was begun, by the clock of this machine, which the commands read too."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


@pytest.fixture
def emptied(running):
    redis = connect(Secret(running[1]))
    redis.flushall()
    return redis


@pytest.fixture
def of_auth(migrated_files, pool, running, emptied, taken_at, tmp_path, monkeypatch):
    """auth's database and journal, and its commands."""
    folder = tmp_path / "auth"
    folder.mkdir()
    with copied(migrated_files["auth"], folder) as database:
        deps = Deps(
            settings=auth.settings(),
            database=database,
            redis=emptied,
            otp=FakeOtp(TurnedClock()),
            publisher=ListPublisher(),
            hashing=pool,
            clock=system_clock,
            signer=SIGNERS["auth"],
        )
        yield Auth(running[1], folder, taken_at, monkeypatch, deps)


@pytest.fixture
def of_otp(migrated_files, pool, running, emptied, taken_at, tmp_path, monkeypatch):
    """otp's database and journal, and its commands. Its clock stands still at the backup."""
    folder = tmp_path / "otp"
    folder.mkdir()
    with copied(migrated_files["otp"], folder) as database:
        world = make_world(database, emptied, pool, auth.ENVIRONMENT["NOTIFY_PUBLIC_KEY"])
        world.clock.now = taken_at
        yield Otp(running[1], folder, taken_at, monkeypatch, world)
        world.deps.recorder.close()
