from contextlib import contextmanager
from dataclasses import replace

import fakeredis
import pytest

from services.auth import after_restore, journaled, sealer
from services.auth.after_restore import Order
from services.auth.app import create_app
from services.auth.deps import Deps
from services.auth.domain.account import Role
from services.auth.sealer import AuditDeps
from services.auth.settings import AuditSettings
from shared.hashing import HashingPool, Place
from shared.journal import Journal
from shared.keys import KeyList, encode_key
from shared.restores import Finding
from shared.settings import Environment
from tests.support import auth
from tests.support.auth import PASSWORD, PHONE, Api, FakeOtp, ListPublisher, TurnedClock
from tests.support.migrated import Backup, copied, migrated
from tests.support.signing import SIGNERS

KEYS_OF_JOURNAL = KeyList.parse(f"j1:{encode_key(b'j' * 32)}")


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

    def hash_here(self, password):
        return self._pool.hash_here(password)

    @contextmanager
    def place(self):
        with self._pool.place() as place:
            yield Place(lambda encoded, password: self._compare(place, encoded, password))

    def verify(self, encoded, password):
        return self._compare(self._pool, encoded, password)

    def needs_rehash(self, encoded):
        return self._pool.needs_rehash(encoded)

    def hash_later(self, password, then):
        return self._pool.hash_later(password, then)

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
        signer=SIGNERS["auth"],
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
def configured(app, deps):
    """The same app under other settings."""

    def configure(**changes):
        changed = replace(deps, settings=auth.settings(**changes))
        app.extensions["latchkey"] = changed
        return changed

    return configure


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

    def as_caller(account=None, *factors, stepped_up=True, device_id=None):
        if account is None:
            return Api(app)
        session, token = auth.sign_in(deps, account, *factors, stepped_up=stepped_up, device_id=device_id)
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
def make_operator(make_account, otp):
    """Make an operator with 2FA on, whom the console is open to."""

    def make(email):
        account = make_account(email, role=Role.SUPPORT, team="Support")
        otp.enabled.add(account.id)
        return account

    return make


@pytest.fixture
def sam(make_operator):
    return make_operator("sam@latchkey.example")


@pytest.fixture
def sue(make_operator):
    return make_operator("sue@latchkey.example")


@pytest.fixture
def olivia(owner, otp):
    """Another owner of Ann's team, with a second factor."""
    otp.enabled.add(owner.id)
    return owner


@pytest.fixture
def chain(database, clock):
    keys = AuditSettings.from_env(Environment(auth.ENVIRONMENT)).audit_keys
    return AuditDeps(database, keys, clock)


@pytest.fixture
def journal(database, tmp_path, clock):
    journal = Journal(tmp_path / "auth.journal", KEYS_OF_JOURNAL, "auth")
    journaled.keep(database, journal, clock)
    return journal


@pytest.fixture
def backup(database, chain, clock):
    return Backup(database, clock, lambda: sealer.seal_all(chain))


@pytest.fixture
def begin(deps, chain, backup, journal):
    def run(*restored, without=False, **options):
        entries = [] if without else [one for one in journal.read().entries if one.at > backup.taken_at]
        order = Order(backup.taken_at, frozenset(restored or ("auth",)), entries, **options)
        return after_restore.begin(deps, chain, order, lambda _: None)

    return run


@pytest.fixture
def work(deps, chain, begin):
    def run(*restored, found=(), **options):
        restore = begin(*restored, **options)
        if set(restored) == {"redis"}:
            return set()
        findings = [Finding(account.id, kind, {}) for account, kind in found]
        everything = after_restore.complete(deps, chain, restore, findings, lambda _: None)
        return {(one.account_id, one.kind) for one in everything}

    return run
