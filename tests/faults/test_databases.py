"""PostgreSQL is away, cuts its connections, or answers nothing until every pool is full."""

import time

import psycopg
import pytest

from deploy.portal import Portal
from tests.faults.ledger import Code, Fate

pytestmark = pytest.mark.timeout(200)

AWAY_SECONDS = 20.0
LOCKED_SECONDS = 8.0
OTP_AWAY_SECONDS = 16.0


def connect(engine):
    url = engine.url
    return psycopg.connect(host=url.host, port=url.port, user=url.username, dbname=url.database, autocommit=True)


def test_postgres_away_for_20_s(large, postgres):
    def away(run):
        postgres[0].kill()
        time.sleep(AWAY_SECONDS)
        postgres[0].start()
        run.ends()

    line = large.play("PostgreSQL away for 20 s", away, pace=1.4)
    assert not line.violations()
    assert line.recovery_seconds < 10


def begun(stage, run, person):
    """A login that waits for its backup code, which never grows old."""
    owner, challenge = stage.begin_login(person)
    return owner, challenge, run.ledger.code(Code(person.id, "recovery_code", person.backup_code, good=True))


def enter(portal, challenge, code):
    """Enter the code; the status."""
    code.statuses.append(portal.verify(challenge, code.digits).status)
    return code.statuses[-1]


def test_only_the_database_of_otp_away_for_16_s(large, postgres):
    """Who has a challenge enters the same good code again and again, as often as Retry-After says."""
    name = large.otp.url.database

    def away(run):
        waiting = [begun(large, run, person) for person in run.reserved]
        with psycopg.connect(postgres[1].replace("+psycopg", ""), autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            deadline = time.monotonic() + OTP_AWAY_SECONDS
            while time.monotonic() < deadline:
                for person, (_, challenge, code) in zip(run.reserved, waiting, strict=True):
                    enter(Portal(large.base_url, ip=person.ip), challenge, code)
                time.sleep(2)
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        run.ends()
        for owner, challenge, code in waiting:
            code.fate = Fate.PASSED if enter(owner, challenge, code) == 200 else Fate.REFUSED

    line = large.play("otp's database away for 16 s", away, pace=1.4, reserve=3)
    assert not line.violations()


def test_the_timeline_takes_no_entry(large):
    """The last step of a sign-in fails; its code must not be gone."""

    def lock(run):
        with connect(large.auth) as auth, auth.transaction():
            auth.execute("LOCK TABLE timeline IN EXCLUSIVE MODE")
            time.sleep(LOCKED_SECONDS)
        run.ends()

    line = large.play("PostgreSQL: the timeline locked for 8 s", lock)
    assert not line.violations()


def test_connections_cut(large):
    def cut(run):
        for _ in range(4):
            for engine in (large.auth, large.otp):
                with connect(engine) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                    )
            time.sleep(1.5)

    line = large.play("PostgreSQL cuts all connections, four times", cut)
    assert not line.violations()


def test_a_full_pool(large):
    """Every statement waits for a lock: the pools fill up, and who finds no place hears so."""

    def lock(run):
        with connect(large.otp) as otp, connect(large.auth) as auth, otp.transaction(), auth.transaction():
            otp.execute("LOCK TABLE authenticators IN ACCESS EXCLUSIVE MODE")
            auth.execute("LOCK TABLE timeline IN ACCESS EXCLUSIVE MODE")
            time.sleep(LOCKED_SECONDS)
        run.ends()

    line = large.play("PostgreSQL locked for 8 s, pools full", lock, users=16, pace=2.5)
    assert not line.violations()


def test_no_connection_left(large, postgres):
    """Somebody else has taken all of the server's connections, while those of the pools are renewed."""

    def take_all(run):
        taken = []
        try:
            with connect(large.otp) as own:
                own.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            deadline = time.monotonic() + LOCKED_SECONDS
            while time.monotonic() < deadline:
                try:
                    taken.append(connect(large.otp))
                except psycopg.OperationalError:
                    time.sleep(0.1)
        finally:
            for connection in taken:
                connection.close()
        run.ends()

    line = large.play("PostgreSQL has no connection left for 8 s", take_all)
    assert not line.violations()
