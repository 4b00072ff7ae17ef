"""The audit chain over a database: sealing, verifying, erasing, pruning, exporting, and the commands for it."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from services.auth import __main__ as cli
from services.auth import audit, sealer
from services.auth.domain import chain
from services.auth.domain.chain import AnchorName
from services.auth.domain.chain_check import FaultKind
from services.auth.sealer import AuditDeps, BrokenChainError, Sealer
from services.auth.settings import AuditSettings
from services.auth.store import chain as store
from services.auth.store import timeline
from services.auth.store.timeline import Entry, operator, team_owner
from shared.clock import rfc3339, system_clock
from shared.database import opened, reading, writing
from shared.keys import KeyList, encode_key
from shared.settings import Environment
from tests.support import auth
from tests.support.auth import CLIENT, NOW, timeline_of, types_of

DAY = timedelta(days=1)


@pytest.fixture
def keys():
    return AuditSettings.from_env(Environment(auth.ENVIRONMENT)).audit_keys


@pytest.fixture
def audit_deps(database, keys, clock):
    return AuditDeps(database, keys, clock)


@pytest.fixture
def write(deps):
    def add(account, entry=Entry.SIGNED_IN, *, at=None, ip=CLIENT.ip, actor=timeline.OWNER, **details):
        with writing(deps.database) as connection:
            timeline.write(connection, account.id, entry, at or deps.clock(), actor=actor, ip=ip, **details)

    return add


@pytest.fixture
def unguarded(database):
    """SQL of somebody who owns the database: the triggers are off for it."""

    def run(*statements):
        with writing(database) as connection:
            triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
            for name, _ in triggers:
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
            for statement in statements:
                connection.exec_driver_sql(statement)
            for _, sql in triggers:
                connection.exec_driver_sql(sql)

    return run


def silent(_rows):
    pass


def verified(deps, anchors=None):
    return audit.verify(deps, anchors or {}, silent)


def faults_of(deps, anchors=None):
    return [(fault.kind, fault.sequence) for fault in verified(deps, anchors).faults]


def head_of(deps):
    with reading(deps.database) as connection:
        return store.anchor(connection, AnchorName.HEAD)


def rows_of(deps):
    with reading(deps.database) as connection:
        return [row for page in store.pages(connection, 0, 100) for row in page]


# --- sealing ---


def test_rows_are_written_without_a_seal_and_sealed_once(audit_deps, write, ann):
    for _ in range(3):
        write(ann, browser="Firefox", session_id="ses_1")
    assert verified(audit_deps).unsealed == 3
    assert sealer.seal(audit_deps).sealed == 3
    before = rows_of(audit_deps)
    assert sealer.seal(audit_deps).sealed == 0
    assert rows_of(audit_deps) == before
    assert [row.seal.sequence for row in before] == [1, 2, 3]
    assert len({row.seal.salt for row in before}) == 3
    verdict = verified(audit_deps)
    assert (verdict.faults, verdict.rows, verdict.unsealed) == ([], 3, 0)
    assert verdict.head.mac == before[-1].seal.mac


def test_what_says_something_about_a_person_stands_apart_and_is_shown_as_before(deps, write, ann):
    write(ann, browser="Firefox", session_id="ses_1")
    write(ann, Entry.PHONE_CHANGED, phone_hint="•• 89")
    with reading(deps.database) as connection:
        found = connection.execute(text("SELECT details, personal FROM timeline ORDER BY position")).all()
    assert [(json.loads(a), json.loads(b)) for a, b in found] == [
        ({"session_id": "ses_1"}, {"browser": "Firefox"}),
        ({}, {"phone_hint": "•• 89"}),
    ]
    assert [row.details for row in timeline_of(deps, ann)] == [
        {"session_id": "ses_1", "browser": "Firefox"},
        {"phone_hint": "•• 89"},
    ]


def test_a_row_that_commits_late_is_sealed_behind_those_that_came_first(audit_deps, write, unguarded, ann):
    """On PostgreSQL a lower position may be committed after a higher one is sealed."""
    write(ann)
    unguarded("UPDATE timeline SET position = 50")
    sealer.seal(audit_deps)
    write(ann)
    unguarded("UPDATE timeline SET position = 7 WHERE sequence IS NULL")
    sealer.seal(audit_deps)
    assert [(row.record.position, row.seal.sequence) for row in rows_of(audit_deps)] == [(50, 1), (7, 2)]
    assert faults_of(audit_deps) == []


def test_a_new_key_seals_on_and_the_old_one_still_verifies(audit_deps, write, ann):
    write(ann)
    sealer.seal(audit_deps)
    newer = KeyList((KeyList.parse(f"c2:{encode_key(b'2' * 32)}").newest, *audit_deps.keys))
    rotated = replace(audit_deps, keys=newer)
    write(ann)
    sealer.seal(rotated)
    assert [row.seal.key_id for row in rows_of(rotated)] == ["c1", "c2"]
    assert faults_of(rotated) == []
    assert FaultKind.UNKNOWN_KEY in {kind for kind, _ in faults_of(replace(rotated, keys=KeyList((newer.newest,))))}


def test_seal_all_takes_more_than_a_batch(audit_deps, write, ann, monkeypatch):
    monkeypatch.setattr(sealer, "BATCH", 2)
    for _ in range(5):
        write(ann)
    assert sealer.seal_all(audit_deps) == head_of(audit_deps)
    assert head_of(audit_deps).sequence == 5


@pytest.mark.parametrize("read", [1, 2, 3])
@pytest.mark.parametrize("begun", [False, True])
def test_a_sealer_that_is_overtaken_between_its_reads_seals_nothing_and_leaves_no_gap(
    audit_deps, write, ann, read, begun
):
    if begun:
        write(ann)
        sealer.seal(audit_deps)
    write(ann)
    with opened(str(audit_deps.database.url)) as database:
        reads = []

        def overtake(_connection, _cursor, statement, *_):
            if statement.startswith("SELECT"):
                reads.append(statement)
                if len(reads) == read:
                    sealer.seal(audit_deps)

        event.listen(database, "after_cursor_execute", overtake)
        sealer.seal(replace(audit_deps, database=database))
    write(ann)
    sealer.seal(audit_deps)
    verdict = verified(audit_deps)
    assert (verdict.faults, verdict.unsealed, verdict.head.sequence) == ([], 0, 3 if begun else 2)


HEAD_FORGERIES = [
    "DELETE FROM timeline_anchors",
    "UPDATE timeline_anchors SET sequence = 1, mac = (SELECT mac FROM timeline WHERE sequence = 1)",
    "UPDATE timeline_anchors SET signature = '1:00'",
]


@pytest.mark.parametrize("forgery", HEAD_FORGERIES)
def test_a_forged_head_is_not_built_upon(audit_deps, write, unguarded, ann, forgery):
    for _ in range(2):
        write(ann)
    sealer.seal(audit_deps)
    write(ann)
    unguarded(forgery)
    with pytest.raises(BrokenChainError):
        sealer.seal(audit_deps)
    assert verified(audit_deps).unsealed == 1


def test_a_chain_that_was_set_back_is_not_built_upon_by_the_worker_that_saw_its_end(audit_deps, write, unguarded, ann):
    """The one who did it kept an older head of ours, so that it is genuine."""
    write(ann)
    older = sealer.seal(audit_deps).head
    worker = Sealer(audit_deps, lambda: None)
    write(ann)
    worker.turn()
    unguarded(
        "DELETE FROM timeline WHERE sequence = 2",
        f"UPDATE timeline_anchors SET sequence = 1, mac = '{older.mac}', signature = '{older.signature}'",  # noqa: S608
    )
    write(ann)
    with capture_logs() as logs:
        assert worker.turn() == sealer.PAUSE_AFTER_FAILURE_SECONDS
    assert [(line["log_level"], line["event"]) for line in logs] == [("error", "audit chain broken, nothing is sealed")]
    assert verified(audit_deps).unsealed == 1
    unguarded("DELETE FROM timeline", "DELETE FROM timeline_anchors")
    assert worker.turn() == sealer.PAUSE_AFTER_FAILURE_SECONDS


def test_the_end_of_the_chain_is_logged_now_and_then(audit_deps, write, ann, clock):
    worker = Sealer(audit_deps, lambda: None)
    with capture_logs() as logs:
        worker.turn()
        for seconds in (0, 59, 1):
            clock.turn(seconds=seconds)
            write(ann)
            worker.turn()
        clock.turn(days=1)
        worker.turn()
    told = [line["anchor"] for line in logs]
    assert [anchor.partition(":")[0] for anchor in told] == ["1", "3"]
    assert told[-1] == head_of(audit_deps).text


def test_a_database_that_is_away_is_waited_for_and_an_unforeseen_fault_is_told(audit_deps, database):
    with writing(database) as connection:
        connection.exec_driver_sql("ALTER TABLE timeline_anchors RENAME TO elsewhere")
    with capture_logs() as logs:
        assert Sealer(audit_deps, lambda: None).turn() == sealer.PAUSE_AFTER_FAILURE_SECONDS
    assert logs[0]["event"] == "sealer waits"
    told = []
    with capture_logs() as logs:
        failing = Sealer(replace(audit_deps, database=None), lambda: told.append("failed"))
        failing.start()
        failing._thread.join()
    assert told == ["failed"]
    assert logs[0]["event"] == "sealer failed"


def test_a_started_sealer_seals_until_it_is_stopped(audit_deps, write, ann):
    write(ann)

    def stop_meanwhile():
        worker.stop()
        return NOW

    for stopped_before, left in ((True, 1), (False, 0)):
        worker = Sealer(replace(audit_deps, clock=stop_meanwhile), lambda: pytest.fail("it failed"))
        if stopped_before:
            worker.stop()
        worker.start()
        worker._thread.join()
        assert verified(audit_deps).unsealed == left


# --- append-only ---


FORBIDDEN = [
    "UPDATE timeline SET type = 'phone.set'",
    "UPDATE timeline SET details = '{}'",
    "UPDATE timeline SET at = '2020-01-01 00:00:00.000000'",
    "UPDATE timeline SET account_id = (SELECT id FROM accounts ORDER BY id LIMIT 1 OFFSET 1)",
    "UPDATE timeline SET position = position + 100",
    "UPDATE timeline SET ip = NULL",
    "UPDATE timeline SET ip = '198.51.100.1'",
    "DELETE FROM timeline",
]
OF_SEALED = [
    "UPDATE timeline SET sequence = NULL",
    "UPDATE timeline SET mac = 'x'",
    "UPDATE timeline SET salt = NULL",
    "UPDATE timeline SET ip = NULL, personal = NULL, salt = NULL",
    "DELETE FROM timeline_anchors",
    "UPDATE timeline_anchors SET sequence = sequence - 1",
    (
        "INSERT INTO timeline (id, account_id, at, type, actor, details, sequence)"
        " SELECT 'evt_x', account_id, at, type, actor, details, 99 FROM timeline"
    ),
]
BLANK = "UPDATE timeline SET ip = NULL, salt = NULL WHERE sequence = :sequence"


@pytest.mark.parametrize(
    ("statement", "sealed"), [(one, False) for one in FORBIDDEN] + [(one, True) for one in FORBIDDEN + OF_SEALED]
)
def test_the_database_itself_refuses_to_change_a_row(audit_deps, write, ann, sam, statement, sealed):
    write(ann, browser="Firefox", session_id="ses_1")
    if sealed:
        sealer.seal(audit_deps)
    with pytest.raises(DBAPIError, match="append-only"), writing(audit_deps.database) as connection:
        connection.exec_driver_sql(statement)


def test_an_erasure_opens_the_rows_that_it_covers_and_no_others(audit_deps, write, ann, sam):
    write(ann)
    write(sam)
    through = sealer.seal(audit_deps).head.sequence
    write(ann)
    sealer.seal(audit_deps)
    with writing(audit_deps.database) as connection:
        store.record_erasure(connection, chain.erasure(audit_deps.keys.newest, ann.id, through, NOW))
    for sequence in (2, 3):
        with pytest.raises(DBAPIError, match="append-only"), writing(audit_deps.database) as connection:
            connection.execute(text(BLANK), {"sequence": sequence})
    with writing(audit_deps.database) as connection:
        connection.execute(text(BLANK), {"sequence": 1})


# --- verifying ---


TAMPERINGS = {
    "edited": ("UPDATE timeline SET details = '{}' WHERE sequence = 3", FaultKind.EDITED, 3),
    "another IP": ("UPDATE timeline SET ip = '198.51.100.1' WHERE sequence = 3", FaultKind.PERSONAL_EDITED, 3),
    "blanked": ("UPDATE timeline SET ip = NULL, salt = NULL WHERE sequence = 3", FaultKind.BLANKED, 3),
    "deleted": ("DELETE FROM timeline WHERE sequence = 3", FaultKind.MISSING, 3),
    "deleted at the front": ("DELETE FROM timeline WHERE sequence = 1", FaultKind.MISSING, 1),
    "deleted at the end": ("DELETE FROM timeline WHERE sequence = 5", FaultKind.MISSING, 5),
    "seal taken off": ("UPDATE timeline SET sequence = NULL WHERE sequence = 3", FaultKind.MISSING, 3),
    "swapped": (
        (
            "UPDATE timeline SET sequence = CASE sequence WHEN 2 THEN 90 ELSE 2 END WHERE sequence IN (2, 4);"
            "UPDATE timeline SET sequence = 4 WHERE sequence = 90"
        ),
        FaultKind.EDITED,
        2,
    ),
    "inserted": (
        (
            "INSERT INTO timeline SELECT 99, 'evt_x', account_id, at, type, actor, ip, details, personal, 6, sealed_at,"
            " salt, commitment, key_id, mac FROM timeline WHERE sequence = 5"
        ),
        FaultKind.EDITED,
        6,
    ),
    "inserted under a number that is taken": (
        (
            "DROP INDEX uq_timeline_sequence;"
            "INSERT INTO timeline SELECT 99, 'evt_x', account_id, at, type, actor, ip, details, personal, 3, sealed_at,"
            " salt, commitment, key_id, mac FROM timeline WHERE sequence = 3"
        ),
        FaultKind.INSERTED,
        3,
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
@pytest.mark.parametrize("page", [1, 500])
def test_what_an_owner_of_the_database_does_to_a_row_is_found(
    audit_deps, write, unguarded, ann, monkeypatch, name, page
):
    monkeypatch.setattr(audit, "PAGE", page)
    for number in range(5):
        write(ann, number=number)
    sealer.seal(audit_deps)
    statements, kind, sequence = TAMPERINGS[name]
    unguarded(*statements.split(";"))
    assert faults_of(audit_deps)[0] == (kind, sequence)


def test_of_many_faults_the_first_are_shown(audit_deps, write, unguarded, ann):
    for _ in range(30):
        write(ann)
    sealer.seal(audit_deps)
    unguarded("UPDATE timeline SET type = 'x'")
    assert faults_of(audit_deps) == [(FaultKind.EDITED, number) for number in range(1, audit.FAULTS_SHOWN + 1)]


# --- erasing ---


@pytest.fixture
def people(write, ann, sam, owner, tom):
    """Rows of Ann's, of what an operator and a team's owner did to Ann, of Tom's, and one without personal data."""
    write(ann, browser="Firefox", session_id="ses_1")
    write(ann, Entry.SUPPORT_VIEWED, actor=operator(sam.id), what="account")
    write(ann, Entry.PHONE_PENDING, actor=team_owner(owner.id), phone_hint="•• 89")
    write(tom, browser="Chrome")
    write(ann, Entry.SMS_DELIVERY, ip=None, actor=timeline.SYSTEM, status="sent")


def test_erasure_takes_value_and_salt_and_the_chain_verifies(deps, audit_deps, people, ann, tom):
    tells = []
    assert audit.erase(audit_deps, ann.id, tells.append) == 3
    assert sum(tells) == 6
    rows = rows_of(audit_deps)
    assert [(row.record.ip, row.record.personal, row.seal.salt is None, row.erased) for row in rows] == [
        (None, None, True, True),
        (None, None, True, True),
        (None, None, True, True),
        (CLIENT.ip, {"browser": "Chrome"}, False, False),
        (None, None, True, False),
    ]
    assert rows[0].record.details == {"session_id": "ses_1"}
    verdict = verified(audit_deps)
    assert (verdict.faults, verdict.erased, verdict.rows) == ([], 3, 5)
    assert types_of(deps, ann)[-1] == "personal_data.erased"
    sealer.seal(audit_deps)
    assert faults_of(audit_deps) == []


@pytest.mark.parametrize(("who", "erased"), [("sam", 1), ("owner", 1)])
def test_who_acted_on_others_is_erased_there_too(audit_deps, people, request, who, erased):
    assert audit.erase(audit_deps, request.getfixturevalue(who).id, silent) == erased
    assert (faults_of(audit_deps), verified(audit_deps).erased) == ([], erased)


def test_what_comes_after_an_erasure_is_kept_until_the_next(audit_deps, write, people, ann, monkeypatch):
    monkeypatch.setattr(audit, "PAGE", 1)
    audit.erase(audit_deps, ann.id, silent)
    write(ann)
    sealer.seal(audit_deps)
    assert verified(audit_deps).erased == 3
    assert audit.erase(audit_deps, ann.id, silent) == 1
    assert (faults_of(audit_deps), verified(audit_deps).erased) == ([], 4)


def test_an_erasure_that_was_interrupted_is_finished_by_the_next(audit_deps, people, ann, monkeypatch):
    monkeypatch.setattr(audit, "PAGE", 1)

    def pull_the_plug(_rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit.erase(audit_deps, ann.id, pull_the_plug)
    assert (faults_of(audit_deps), verified(audit_deps).erased) == ([], 1)
    assert audit.erase(audit_deps, ann.id, silent) == 2
    assert (faults_of(audit_deps), verified(audit_deps).erased) == ([], 3)


def test_nobody_is_erased(audit_deps, people):
    assert audit.erase(audit_deps, "acc_nobody", silent) is None
    assert verified(audit_deps).rows == 0  # nor was anything sealed or written


def test_what_is_erased_is_nowhere_in_the_file(audit_deps, write, ann, database):
    write(ann, ip="203.0.113.77", browser="Unmistakable/1.0")
    audit.erase(audit_deps, ann.id, silent)
    with reading(database) as connection:
        everything = "\n".join(connection.connection.driver_connection.iterdump())
    assert "203.0.113.77" not in everything
    assert "Unmistakable" not in everything


# --- pruning ---


@pytest.fixture
def aged(write, clock, ann):
    """Ten rows, one a day; the last is of today."""
    for age in range(9, -1, -1):
        write(ann, at=NOW - age * DAY, number=age)


def test_pruning_leaves_a_checkpoint_from_which_the_rest_verifies(audit_deps, aged, monkeypatch):
    monkeypatch.setattr(audit, "PAGE", 2)
    sealer.seal(audit_deps)
    tells = []
    checkpoint = audit.prune(audit_deps, 4.5 * DAY, tells.append)
    assert (checkpoint.sequence, tells) == (5, [2, 2, 1])
    assert [row.seal.sequence for row in rows_of(audit_deps)] == [6, 7, 8, 9, 10]
    verdict = verified(audit_deps)
    assert (verdict.faults, verdict.rows, verdict.checkpoint) == ([], 5, checkpoint)
    assert audit.prune(audit_deps, 4.5 * DAY, silent) == checkpoint
    assert audit.prune(audit_deps, -DAY, silent).sequence == 10
    assert faults_of(audit_deps) == []


def test_the_chain_goes_on_behind_what_was_pruned(audit_deps, aged, write, ann):
    sealer.seal(audit_deps)
    audit.prune(audit_deps, -DAY, silent)
    write(ann)
    sealer.seal(audit_deps)
    assert [row.seal.sequence for row in rows_of(audit_deps)] == [11]
    assert faults_of(audit_deps) == []


def test_anchors_that_were_pruned_away_are_no_fault_and_the_others_count(audit_deps, aged):
    sealer.seal(audit_deps)
    macs = {row.seal.sequence: row.seal.mac for row in rows_of(audit_deps)}
    audit.prune(audit_deps, 4.5 * DAY, silent)
    assert faults_of(audit_deps, macs) == []
    assert faults_of(audit_deps, macs | {2: "x"}) == []
    for sequence in (5, 6):
        assert (FaultKind.ANCHOR, sequence) in faults_of(audit_deps, macs | {sequence: "x"})


def test_rows_without_a_seal_are_not_pruned(audit_deps, aged):
    assert audit.prune(audit_deps, DAY, silent) is None
    assert verified(audit_deps).unsealed == 10


def test_a_row_from_the_future_keeps_the_rest_for_the_time_of_its_sealing_only(audit_deps, write, ann, clock):
    write(ann, at=NOW + 1000 * DAY)
    write(ann)
    sealer.seal(audit_deps)
    clock.turn(days=3)
    assert audit.prune(audit_deps, 2 * DAY, silent).sequence == 2


def test_pruning_ends_at_the_first_row_that_is_not_old_enough(audit_deps, write, ann, clock):
    """What was recorded late is older than rows before it; a chain is shortened from its front only."""
    for age in (9, 1, 8):
        write(ann, at=NOW - age * DAY)
    sealer.seal(audit_deps)
    assert audit.prune(audit_deps, 5 * DAY, silent).sequence == 1
    assert faults_of(audit_deps) == []


def test_an_interrupted_pruning_leaves_a_chain_that_verifies(audit_deps, aged, monkeypatch):
    monkeypatch.setattr(audit, "PAGE", 2)
    sealer.seal(audit_deps)

    def pull_the_plug(_rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit.prune(audit_deps, DAY, pull_the_plug)
    assert verified(audit_deps).checkpoint.sequence == 2
    assert faults_of(audit_deps) == []
    assert audit.prune(audit_deps, 1.5 * DAY, silent).sequence == 8


def test_evidence_is_not_pruned(audit_deps, aged, unguarded):
    sealer.seal(audit_deps)
    unguarded("UPDATE timeline SET type = 'x' WHERE sequence = 3")
    with pytest.raises(BrokenChainError, match="row 3"):
        audit.prune(audit_deps, DAY, silent)
    assert verified(audit_deps).rows == 10


def test_pruned_rows_that_come_back_are_found(audit_deps, aged, unguarded):
    sealer.seal(audit_deps)
    unguarded("CREATE TABLE kept AS SELECT * FROM timeline WHERE sequence = 2")
    audit.prune(audit_deps, 4.5 * DAY, silent)
    unguarded("INSERT INTO timeline SELECT * FROM kept")
    assert faults_of(audit_deps) == [(FaultKind.INSERTED, 2)]


def test_erasures_go_with_the_rows_that_they_cover(audit_deps, aged, ann, tom):
    sealer.seal(audit_deps)
    audit.erase(audit_deps, ann.id, silent)
    audit.prune(audit_deps, 4.5 * DAY, silent)
    assert (faults_of(audit_deps), verified(audit_deps).erased) == ([], 5)
    audit.prune(audit_deps, -DAY, silent)
    with reading(audit_deps.database) as connection:
        assert store.erasures(connection) == []


# --- the commands ---


@pytest.fixture
def run(database, keys, monkeypatch):
    monkeypatch.setenv("AUTH_DATABASE_URL", str(database.url))
    monkeypatch.setenv("AUTH_AUDIT_KEYS", auth.ENVIRONMENT["AUTH_AUDIT_KEYS"])
    return lambda *args: CliRunner().invoke(cli.main, ["audit", *args])


def test_verify_says_how_much_is_right_and_where_the_chain_ends(run, audit_deps, people, ann):
    result = run("verify")
    assert result.exit_code == 0
    assert "5 rows wait for their seal" in result.stderr
    audit.erase(audit_deps, ann.id, silent)
    sealer.seal(audit_deps)
    result = run("verify")
    end = head_of(audit_deps).text
    assert result.stdout == f"ok: 6 rows, 3 of them erased; the chain ends at {end}\n"
    assert result.stderr == ""
    audit.prune(audit_deps, -DAY, silent)
    checkpoint = verified(audit_deps).checkpoint
    assert f"pruned up to 6 on {rfc3339(checkpoint.at)}" in run("verify").stdout


def test_verify_names_the_first_bad_row_and_exits_1(run, audit_deps, people, unguarded):
    sealer.seal(audit_deps)
    row = rows_of(audit_deps)[2]
    unguarded("UPDATE timeline SET actor = 'owner' WHERE sequence = 3", "DELETE FROM timeline WHERE sequence = 5")
    result = run("verify")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"row 3 ({row.record.id}) was changed, moved, or sealed by somebody without the key",
        "row 5 is missing: deleted, or its number was taken away",
    ]
    assert "broken" in result.stderr


def test_verify_keeps_anchors_in_a_file_and_compares_with_them(run, audit_deps, write, unguarded, ann, tmp_path):
    file = tmp_path / "anchors"
    write(ann)
    older = sealer.seal(audit_deps).head
    assert run("verify", "--anchors", str(file)).exit_code == 0
    write(ann)
    newer = sealer.seal(audit_deps).head
    for _ in range(2):
        assert run("verify", "--anchors", str(file)).exit_code == 0
    assert file.read_text().split() == [older.text, newer.text]
    unguarded(
        "DELETE FROM timeline WHERE sequence = 2",
        f"UPDATE timeline_anchors SET sequence = 1, mac = '{older.mac}', signature = '{older.signature}'",  # noqa: S608
    )
    assert run("verify").exit_code == 0
    result = run("verify", "--anchors", str(file))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].startswith("row 2 is missing")
    assert file.read_text().split() == [older.text, newer.text]


@pytest.mark.parametrize(("lines", "exit_code"), [("hello", 2), ("x:1:ab", 2), ("1:1:ab\n1:1:cd", 1)])
def test_a_file_that_holds_no_anchors_is_said(run, tmp_path, lines, exit_code):
    file = tmp_path / "anchors"
    file.write_text(lines)
    result = run("verify", "--anchors", str(file))
    assert result.exit_code == exit_code
    assert str(file) in result.stderr


def test_export_as_json_lines(run, audit_deps, people, ann, tom):
    sealer.seal(audit_deps)
    audit.erase(audit_deps, tom.id, silent)
    result = run("export", "--since", "2026-11-24")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["sequence"] for line in lines] == [1, 2, 3, 4, 5]
    first = lines[0]
    assert {name: first[name] for name in ("account_id", "at", "type", "details", "ip", "personal", "erased")} == {
        "account_id": ann.id,
        "at": rfc3339(NOW),
        "type": "session.started",
        "details": {"session_id": "ses_1"},
        "ip": CLIENT.ip,
        "personal": {"browser": "Firefox"},
        "erased": False,
    }
    assert lines[3]["erased"]
    salts = [row.seal.salt for row in rows_of(audit_deps) if row.seal.salt]
    assert not [salt for salt in salts if salt in result.stdout]


def test_export_as_csv(run, audit_deps, write, ann):
    write(ann, browser='=HYPERLINK("x")', session_id="ses_1")
    sealer.seal(audit_deps)
    (row,) = csv.DictReader(io.StringIO(run("export", "--since", "2026-11-24", "--format", "csv").stdout))
    assert (row["sequence"], row["at"], json.loads(row["details"])) == ("1", rfc3339(NOW), {"session_id": "ses_1"})
    assert json.loads(row["personal"]) == {"browser": '=HYPERLINK("x")'}
    assert not [value for value in row.values() if value.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_export_without_personal_data(run, audit_deps, people, form):
    sealer.seal(audit_deps)
    out = run("export", "--since", "2026-11-24", "--format", form, "--without-personal-data").stdout
    assert "ses_1" in out
    for value in (CLIENT.ip, "Firefox", "•• 89", "2022 89"):
        assert value not in out


def test_export_of_a_time_and_an_account(run, audit_deps, aged, write, tom):
    write(tom)
    sealer.seal(audit_deps)

    def exported(*options):
        return [json.loads(line)["sequence"] for line in run("export", *options).stdout.splitlines()]

    assert exported("--since", "2026-11-22", "--until", "2026-11-24") == [8, 9]
    assert exported("--since", "2026-11-24T05:00:00Z") == [10, 11]
    assert exported("--since", "2026-01-01", "--account", tom.id) == [11]
    assert exported("--since", "2027-01-01") == []
    assert run("export").exit_code == 2
    assert run("export", "--since", "yesterday").exit_code == 2


def test_prune_and_erase_say_what_they_did(run, deps, audit_deps, write, ann):
    write(ann, at=system_clock() - 40 * DAY)
    write(ann, at=system_clock())
    sealer.seal(audit_deps)
    mac = rows_of(audit_deps)[0].seal.mac
    assert run("prune", "--older-than", "30").stdout == f"1 rows deleted; the chain begins behind 1:{mac}\n"
    assert run("prune", "--older-than", "0").exit_code == 2
    assert run("erase", "--account", ann.id).stdout == f"personal data of {ann.id} erased from 1 rows\n"
    assert timeline_of(deps, ann)[-1].actor == "operator:cli"
    nobody = run("erase", "--account", "acc_nobody")
    assert nobody.exit_code == 1
    assert "acc_nobody" in nobody.stderr
    assert run("verify").exit_code == 0


def test_a_broken_chain_stops_prune_and_erase_with_a_sentence(run, audit_deps, write, unguarded, ann):
    write(ann, at=system_clock() - 40 * DAY)
    sealer.seal(audit_deps)
    unguarded("UPDATE timeline SET type = 'x'", "UPDATE timeline_anchors SET signature = 'x'")
    write(ann)
    for arguments in (["prune", "--older-than", "30"], ["erase", "--account", ann.id]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert "audit verify" in result.stderr
        assert "Traceback" not in result.output


def test_a_missing_key_is_wrong_usage_and_named(run, monkeypatch):
    monkeypatch.delenv("AUTH_AUDIT_KEYS")
    result = run("verify")
    assert result.exit_code == 2
    assert "AUTH_AUDIT_KEYS is not set" in result.stderr


# --- what stands on it ---


def test_the_pages_of_erased_rows_are_shown(api, audit_deps, people, ann, sam):
    audit.erase(audit_deps, ann.id, silent)
    items = api(ann).get("/v1/activity").json["items"]
    assert [item["type"] for item in items][-1] == "session.started"
    assert items[-1]["details"] == {"session_id": "ses_1"}
    assert items[0]["actor"] == "support"
    assert api(sam).get(f"/v1/support/accounts/{ann.id}/timeline").status_code == 200
    trail = api(sam).get("/v1/support/audit").json["items"]
    assert {item["type"] for item in trail} == {"personal_data.erased", "support.viewed"}
    assert "ip" not in trail[-1]["details"]


def test_what_concerns_no_account_is_sealed_verified_exported_and_in_nobodys_erasure(deps, audit_deps, write, ann):
    write(ann)
    with writing(deps.database) as connection:
        timeline.write(connection, None, Entry.PASSWORD_REFUSED, NOW, ip=CLIENT.ip, address="digest")
    sealer.seal(audit_deps)
    audit.erase(audit_deps, ann.id, silent)
    assert verified(audit_deps).faults == []
    exported = list(audit.export(audit_deps, NOW - DAY, None, None, silent))
    assert [row.record.ip for row in exported if row.record.account_id is None] == [CLIENT.ip]
    assert None not in {row.record.account_id for row in audit.export(audit_deps, NOW - DAY, None, ann.id, silent)}


def test_the_gateway_needs_no_key_of_the_chain():
    without = {name: value for name, value in auth.ENVIRONMENT.items() if name != "AUTH_AUDIT_KEYS"}
    assert not hasattr(auth.AuthSettings.from_env(Environment(without)), "audit_keys")


def test_the_triggers_stand_after_the_last_migration(database):
    """A migration that has SQLite make a table anew takes them away: see how 0004 keeps them."""
    with closing(sqlite3.connect(database.url.database)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    assert names == {f"timeline_no_{what}" for what in ("insert", "update", "delete", "anchor_update", "anchor_delete")}
