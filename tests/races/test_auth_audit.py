"""The audit chain under many writers and several sealers at once, on SQLite and PostgreSQL."""

import json
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from services.auth import audit, sealer
from services.auth.domain.chain import AnchorName
from services.auth.sealer import AuditDeps
from services.auth.settings import AuditSettings
from services.auth.store import chain as store
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared import migrations
from shared.database import create_database, opened, reading, snapshot, writing
from shared.settings import Environment
from tests.support import auth
from tests.support.auth import NOW, TurnedClock, make_account

WRITERS, SEALERS, ENTRIES = 6, 3, 25
KEYS = AuditSettings.from_env(Environment(auth.ENVIRONMENT)).audit_keys


@pytest.fixture
def url(new_database):
    return new_database("auth")


@pytest.fixture
def deps(url):
    database = create_database(url)
    yield AuditDeps(database, KEYS, TurnedClock())
    database.dispose()


@pytest.fixture
def ann(deps):
    return make_account(deps, "ann@example.com")


def write(connection, account, number=0):
    timeline.write(connection, account.id, Entry.SIGNED_IN, NOW, ip="192.0.2.7", number=number, browser="Firefox")


def persistently(action):
    """As clients and the sealer do: SQLite is not fair, and lets nobody wait for more than a second."""
    for _ in range(20):
        try:
            return action()
        except OperationalError as error:
            refused = error
    raise refused


def verified(deps):
    verdict = audit.verify(deps, {}, lambda _rows: None)
    assert [str(fault) for fault in verdict.faults] == []
    return verdict


def test_many_writers_and_several_sealers_make_one_chain_without_gaps(deps, url, ann):
    """Each has connections of its own, as processes have, and a check in between never finds half a batch."""
    barrier, writing_over = threading.Barrier(WRITERS + SEALERS + 1), threading.Event()

    def writer(number):
        with opened(url) as database:

            def put(entry):
                with writing(database) as connection:
                    write(connection, ann, number * ENTRIES + entry)

            barrier.wait()
            for entry in range(ENTRIES):
                persistently(partial(put, entry))

    def until_all_is_sealed(turn):
        with opened(url) as database:
            own = AuditDeps(database, KEYS, deps.clock)
            barrier.wait()
            while not writing_over.is_set():
                persistently(partial(turn, own))
            persistently(partial(sealer.seal_all, own))

    with ThreadPoolExecutor(WRITERS + SEALERS + 1) as pool:
        sealers = [pool.submit(until_all_is_sealed, sealer.seal) for _ in range(SEALERS)]
        checker = pool.submit(until_all_is_sealed, verified)
        try:
            for done in [pool.submit(writer, number) for number in range(WRITERS)]:
                done.result()
        finally:
            writing_over.set()
        for done in (*sealers, checker):
            done.result()
    verdict = verified(deps)
    assert (verdict.rows, verdict.unsealed, verdict.head.sequence) == (WRITERS * ENTRIES, 0, WRITERS * ENTRIES)


@pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_a_row_that_is_not_committed_is_not_sealed_and_what_commits_meanwhile_is(deps, ann):
    """Its position is taken already, on PostgreSQL: the chain goes on without it, and takes it afterwards."""
    with writing(deps.database) as slow:
        write(slow, ann, 1)
        with writing(deps.database) as quick:
            write(quick, ann, 2)
        assert sealer.seal(deps).sealed == 1
    assert sealer.seal(deps).sealed == 1
    with reading(deps.database) as connection:
        rows = store.sealed_behind(connection, 0, 10)
    assert [row.record.details["number"] for row in rows] == [2, 1]
    assert rows[0].record.position > rows[1].record.position
    verified(deps)


def test_rows_can_be_erased_and_pruned_while_others_are_written_and_checked(deps, url, ann):
    bob = make_account(deps, "bob@example.com")
    for number in range(200):
        with writing(deps.database) as connection:
            write(connection, ann if number % 2 else bob, number)
    sealer.seal_all(deps)
    barrier, over = threading.Barrier(4), threading.Event()

    def at_work(action):
        with opened(url) as database:
            own = AuditDeps(database, KEYS, deps.clock)
            barrier.wait()
            action(own)

    def check(own):
        while not over.is_set():
            verified(own)

    def write_on(own):
        for number in range(40):
            with writing(own.database) as connection:
                write(connection, ann, number)
            sealer.seal(own)

    def erase(own):
        audit.erase(own, ann.id, lambda _rows: None)

    def prune(own):
        own.clock.turn(days=2)
        audit.prune(own, timedelta(days=1), lambda _rows: None)

    with ThreadPoolExecutor(4) as pool:
        checker = pool.submit(at_work, check)
        for done in [pool.submit(at_work, action) for action in (write_on, erase, prune)]:
            done.result()
        over.set()
        checker.result()
    sealer.seal_all(deps)
    assert verified(deps).checkpoint.sequence >= 200


def test_a_snapshot_sees_one_moment(deps, ann):
    with snapshot(deps.database) as connection:
        assert store.count_unsealed(connection) == 0
        with writing(deps.database) as other:
            write(other, ann)
        assert store.count_unsealed(connection) == 0
    with snapshot(deps.database) as connection:
        assert store.count_unsealed(connection) == 1


FORBIDDEN = [
    "UPDATE timeline SET type = 'phone.set'",
    "UPDATE timeline SET details = '{}'",
    "UPDATE timeline SET position = position + 100",
    "UPDATE timeline SET ip = '198.51.100.1'",
    "UPDATE timeline SET ip = NULL, personal = NULL, salt = NULL",
    "DELETE FROM timeline",
]
OF_SEALED = [
    "UPDATE timeline SET sequence = NULL",
    "UPDATE timeline SET mac = 'x'",
    "DELETE FROM timeline_anchors",
    "UPDATE timeline_anchors SET sequence = sequence - 1",
    "UPDATE timeline SET sequence = sequence + 1",
    (
        "INSERT INTO timeline (id, account_id, at, type, actor, details, sequence)"
        " SELECT 'evt_x', account_id, at, type, actor, details, 99 FROM timeline"
    ),
]


def test_the_database_itself_refuses_to_change_a_row(deps, url, ann):
    with writing(deps.database) as connection:
        write(connection, ann)
    truncate = [] if url.startswith("sqlite") else ["TRUNCATE timeline"]
    for statements in (FORBIDDEN + truncate, FORBIDDEN + truncate + OF_SEALED):
        for statement in statements:
            with pytest.raises(DBAPIError, match="append-only"), writing(deps.database) as connection:
                connection.exec_driver_sql(statement)
        sealer.seal(deps)
    assert verified(deps).rows == 1


@pytest.fixture
def filled_before(request, new_database, tmp_path):
    """A database as the migration before left it, with rows as they were written then; its URL."""
    if "postgresql" in request.node.callspec.id:
        databases = request.getfixturevalue("postgres_databases")
        url = databases.new(f"auth_{secrets.token_hex(4)}")
    else:
        url = f"sqlite:///{tmp_path}/before.sqlite3"
    with opened(url) as database:
        with writing(database) as connection:
            command.upgrade(migrations._config("auth", connection), "0002")
        with writing(database) as connection:
            connection.execute(
                text("INSERT INTO teams (id, name, created_at) VALUES ('t', 't', '2026-01-01 00:00:00')")
            )
            connection.execute(
                text(
                    "INSERT INTO accounts (id, team_id, email, email_key, name, role, password_hash,"
                    " password_changed_at, created_at) VALUES ('acc_1', 't', 'a', 'a', 'a', 'member', 'x',"
                    " '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
                )
            )
            row = text(
                "INSERT INTO timeline (id, account_id, at, type, actor, ip, details)"
                " VALUES (:id, 'acc_1', '2026-01-01 00:00:00', 'session.started', 'owner', '192.0.2.7', :details)"
            )
            connection.execute(
                row,
                [
                    {"id": f"evt_{number}", "details": '{"session_id": "ses_1", "browser": "Firefox"}'}
                    for number in range(1200)
                ]
                + [{"id": "evt_bare", "details": '{"reset_id": "rst_1"}'}],
            )
    return url


def test_rows_from_before_come_into_the_chain(filled_before):
    migrations.upgrade("auth", filled_before)
    with opened(filled_before) as database:
        deps = AuditDeps(database, KEYS, TurnedClock())
        assert verified(deps).unsealed == 1201
        sealer.seal_all(deps)
        verdict = verified(deps)
        assert (verdict.rows, verdict.unsealed) == (1201, 0)
        with reading(database) as connection:
            first = store.sealed_behind(connection, 0, 1)[0]
            last = store.sealed_behind(connection, 1200, 1)[0]
            (shown,) = timeline.newest(connection, "acc_1", before=2, limit=1)
        assert (first.record.id, first.record.details, first.record.personal) == (
            "evt_0",
            {"session_id": "ses_1"},
            {"browser": "Firefox"},
        )
        assert (last.record.id, last.record.personal) == ("evt_bare", None)
        assert shown.details == {"session_id": "ses_1", "browser": "Firefox"}
        assert audit.erase(deps, "acc_1", lambda _rows: None) == 1201
        assert verified(deps).erased == 1201


def test_the_way_back_gives_the_rows_as_they_were(filled_before):
    def rows():
        with opened(filled_before) as database, reading(database) as connection:
            found = connection.execute(text("SELECT position, id, ip, CAST(details AS TEXT) FROM timeline ORDER BY 1"))
            return [(*row[:3], audit.chain.canonical(json.loads(row[3]))) for row in found]

    before = rows()
    migrations.upgrade("auth", filled_before)
    with opened(filled_before) as database:
        sealer.seal_all(AuditDeps(database, KEYS, TurnedClock()))
        with reading(database) as connection:
            assert store.anchor(connection, AnchorName.HEAD).sequence == 1201
        with writing(database) as connection:
            command.downgrade(migrations._config("auth", connection), "0002")
    assert rows() == before
