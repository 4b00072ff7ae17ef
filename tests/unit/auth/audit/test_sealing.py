"""Each committed row gets its place in the chain; the database keeps it as it is."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from services.auth import sealer
from services.auth.domain import chain
from services.auth.domain.chain_check import FaultKind
from services.auth.sealer import BrokenChainError, Sealer
from services.auth.store import chain as store
from services.auth.store.timeline import Entry
from shared.database import opened, reading, writing
from shared.keys import KeyList, encode_key
from tests.support.audit import faults_of, head_of, rows_of, verified
from tests.support.auth import NOW, timeline_of


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
