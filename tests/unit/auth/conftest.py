from contextlib import contextmanager
from dataclasses import replace

import fakeredis
import pytest

from services.auth.app import create_app
from services.auth.deps import Deps
from services.auth.domain.account import Role
from shared.hashing import HashingPool, Place
from tests.support import auth
from tests.support.auth import PASSWORD, PHONE, Api, FakeOtp, ListPublisher, TurnedClock
from tests.support.migrated import copied, migrated


class WatchedHashing:
    """A hashing pool that notes the hashes that passwords are compared with.

    ``meanwhile`` is what happens elsewhere while it hashes: it takes longer than anything else in a request.
    """

    def __init__(self, pool):
        self._pool = pool
        self.compared = []
        self.meanwhile = lambda: None

    def hash(self, password):
        encoded = self._pool.hash(password)
        self.meanwhile()
        return encoded

    @contextmanager
    def place(self):
        with self._pool.place() as place:
            yield Place(lambda encoded, password: self._compare(place, encoded, password))

    def verify(self, encoded, password):
        return self._compare(self._pool, encoded, password)

    def _compare(self, place, encoded, password):
        self.compared.append(encoded)
        matches = place.verify(encoded, password)
        self.meanwhile()
        return matches


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    return migrated("auth", tmp_path_factory.mktemp("auth"))


@pytest.fixture(scope="session")
def hashing():
    return HashingPool(max_waiting=4, patience_seconds=20)


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
def clock():
    return TurnedClock()


@pytest.fixture
def publisher():
    return ListPublisher()


@pytest.fixture
def otp(clock):
    return FakeOtp(clock)


@pytest.fixture
def deps(database, redis, clock, publisher, otp, hashing):
    return Deps(
        settings=auth.settings(),
        database=database,
        redis=redis,
        otp=otp,
        publisher=publisher,
        hashing=hashing,
        clock=clock,
    )


@pytest.fixture(scope="session")
def apps():
    return []


@pytest.fixture
def app(deps, apps):
    """One app for all tests, because its OpenAPI document takes longer to make than a test; each has deps of its own.

    Health checks look at the first test's deps: who tests those calls create_app.
    """
    if not apps:
        apps.append(create_app(deps))
    apps[0].extensions["latchkey"] = deps
    return apps[0]


@pytest.fixture
def watched(app, deps):
    """The hashing pool of the app from here on."""
    hashing = WatchedHashing(deps.hashing)
    app.extensions["latchkey"] = replace(deps, hashing=hashing)
    return hashing


@pytest.fixture
def make_account(deps):
    return lambda email, **kwargs: auth.make_account(deps, email, **kwargs)


@pytest.fixture
def api(app, deps):
    """Call it with an account for a signed-in caller (password and TOTP, stepped up), or without for a stranger."""

    def as_caller(account=None, *factors, stepped_up=True):
        if account is None:
            return Api(app)
        session, token = auth.sign_in(deps, account, *factors, stepped_up=stepped_up)
        return Api(app, token, session)

    return as_caller


@pytest.fixture
def stranger(api):
    return api()


@pytest.fixture
def ann(make_account, otp):
    """A member with 2FA on and a proven phone."""
    account = make_account("ann@example.com", phone=PHONE)
    otp.enabled.add(account.id)
    return account


@pytest.fixture(scope="session")
def password_hash(hashing):
    return hashing.hash(PASSWORD)


@pytest.fixture
def mia(make_account, otp, password_hash):
    """A member who can sign in with PASSWORD and a code: 2FA on, a proven phone."""
    account = make_account("mia@example.com", phone=PHONE, password_hash=password_hash)
    otp.enabled.add(account.id)
    return account


@pytest.fixture
def tom(make_account, password_hash):
    """A member who signs in with PASSWORD alone: 2FA off."""
    return make_account("tom@example.com", password_hash=password_hash)


@pytest.fixture
def owner(make_account):
    return make_account("olivia@example.com", role=Role.OWNER)


@pytest.fixture
def sam(make_account):
    return make_account("sam@latchkey.example", role=Role.SUPPORT, team="Support")


@pytest.fixture
def sue(make_account):
    return make_account("sue@latchkey.example", role=Role.SUPPORT, team="Support")
