"""The security journal: what it keeps, and what it notices when somebody else writes into its file."""

import os
import threading
from datetime import timedelta

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, create_engine, insert, select
from sqlalchemy.exc import IntegrityError

from shared import journaling
from shared.database import UtcDateTime, create_database, writing
from shared.journal import BEGUN, Entry, Journal
from shared.keys import KeyList, encode_key
from shared.problems import Unavailable
from tests.support.clock import NOW

KEYS = KeyList.parse(f"j1:{encode_key(b'j' * 32)}")


def entry(kind="password.changed", account_id="acc_ann", at=NOW, **state):
    return Entry(kind, account_id, at, "owner", state)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "auth.journal"


@pytest.fixture
def journal(path):
    made = Journal(path, KEYS, "auth")
    made.begin(NOW)
    return made


def kinds(journal):
    return [one.kind for one in journal.read().entries]


def rewrite(path, change):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(change(lines)))


def test_what_was_written_is_read_back_in_its_order_and_by_nobody_without_the_key(journal, path):
    journal.append([entry(password_hash="$argon2id$secret")])
    journal.append([entry("role.changed")])
    reading = journal.read()
    assert [one.kind for one in reading.entries] == [BEGUN, "password.changed", "role.changed"]
    assert reading.entries[1].state == {"password_hash": "$argon2id$secret"}
    assert (reading.faults, reading.skipped) == ([], 0)
    assert reading.begins_at == NOW
    assert b"argon2id" not in path.read_bytes()
    assert b"acc_ann" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


def test_to_begin_twice_begins_once(journal):
    journal.begin(NOW + timedelta(days=1))
    assert kinds(journal) == [BEGUN]


def test_half_a_line_of_a_killed_process_is_closed_by_the_next_one(journal, path):
    journal.append([entry("lost")])
    path.write_bytes(path.read_bytes()[:-20])
    assert (kinds(journal), journal.read().faults) == ([BEGUN], [])
    journal.append([entry("role.changed")])
    reading = journal.read()
    assert [one.kind for one in reading.entries] == [BEGUN, "role.changed"]
    assert (reading.faults, reading.skipped) == ([], 1)


def test_a_line_that_lacks_only_its_end_counts(journal, path):
    journal.append([entry("first")])
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    journal.append([entry("second")])
    assert kinds(journal) == [BEGUN, "first", "second"]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0], lines[1], lines[3]],
        lambda lines: [lines[0], lines[2], lines[1], lines[3]],
        lambda lines: [lines[0], lines[1][:-10] + b"AAAAAAAA=\n", *lines[2:]],
        lambda lines: [lines[0], lines[1], lines[1], *lines[2:]],
    ],
    ids=["taken away", "swapped", "changed", "doubled"],
)
def test_a_line_that_was_taken_away_moved_or_changed_is_found(journal, path, change):
    for number in range(3):
        journal.append([entry(number=number)])
    rewrite(path, change)
    assert journal.read().faults


def changed(line):
    return line[:-10] + (b"AAAAAAAA=" if b"AAAAAAAA=" not in line else b"BBBBBBBB=") + b"\n"


@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize(
    "change", [changed, lambda _: b"not a line\n"], ids=["its seal does not open", "it has no shape"]
)
@pytest.mark.parametrize("appended", [0, 2])
def test_a_changed_first_or_last_line_is_found_whatever_is_appended_later(journal, path, place, change, appended):
    for number in range(3):
        journal.append([entry(number=number)])
    rewrite(path, lambda lines: [change(line) if line == lines[place] else line for line in lines])
    for number in range(appended):
        journal.append([entry(number=number)])
    assert len(journal.read().faults) == 1


def test_a_write_that_fails_half_way_leaves_nothing(path, journal, monkeypatch):
    def write_half(descriptor, text, write=os.write):
        return write(descriptor, text[: len(text) // 2])

    whole = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_half)
        with pytest.raises(Unavailable):
            journal.append([entry("lost")])
    assert path.read_bytes() == whole


def test_another_services_line_is_none_of_ours(journal, path):
    other = Journal(path.with_name("otp.journal"), KEYS, "otp")
    other.begin(NOW)
    rewrite(path, lambda _: path.with_name("otp.journal").read_bytes().splitlines(keepends=True))
    assert journal.read().entries == []


def test_a_key_that_the_list_lacks_is_named(journal, path):
    newer = Journal(path, KeyList.parse(f"j2:{encode_key(b'k' * 32)}"), "auth")
    newer.append([entry()])
    assert "key j2" in journal.read().faults[0]
    both = Journal(path, KeyList.parse(f"j2:{encode_key(b'k' * 32)},j1:{encode_key(b'j' * 32)}"), "auth")
    assert (len(both.read().entries), both.read().faults) == (2, [])


def test_many_writers_make_one_chain(path):
    def write(writer):
        for number in range(10):
            Journal(path, KEYS, "auth").append([entry(writer=writer, number=number)])

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reading = Journal(path, KEYS, "auth").read()
    assert (len(reading.entries), reading.faults) == (40, [])


def test_pruning_drops_the_oldest_lines_and_the_rest_says_from_when_it_is_complete(journal):
    for day in range(1, 5):
        journal.append([entry(at=NOW + timedelta(days=day))])
    assert journal.prune(NOW + timedelta(days=3)) == 3
    reading = journal.read()
    assert (reading.begins_at, reading.faults) == (NOW + timedelta(days=3), [])
    journal.append([entry()])
    assert journal.read().faults == []


# --- notes ------------------------------------------------------------------------------------------------------------

METADATA = MetaData()
PEOPLE = Table(
    "people",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(10)),
    Column("at", UtcDateTime),
    Column("secret", LargeBinary),
)


@pytest.fixture
def engine(tmp_path):
    made = create_database(f"sqlite:///{tmp_path}/people.sqlite3")
    METADATA.create_all(made)
    yield made
    made.dispose()


def snapshot(connection, account_id, _kind):
    return {"people": [journaling.dump_row(row) for row in connection.execute(select(PEOPLE))]}


def add(engine, kind="password.changed", **values):
    with writing(engine) as connection:
        journaling.note(connection, "acc_ann", kind, NOW)
        connection.execute(insert(PEOPLE).values(name="Ann", at=NOW, secret=b"\x00\xff", **values))


def people(engine):
    with engine.connect() as connection:
        return connection.execute(select(PEOPLE)).all()


def test_what_a_transaction_notes_is_written_with_how_it_leaves_things(engine, journal):
    journaling.attach(engine, journal, {"password.changed"}, snapshot)
    add(engine)
    (one,) = journal.read().entries[1:]
    (row,) = one.state["people"]
    assert journaling.load_row(row, PEOPLE.c.keys()) == {"id": 1, "name": "Ann", "at": NOW, "secret": b"\x00\xff"}
    assert journaling.load_row(row, {"name"}) == {"name": "Ann"}


def test_other_kinds_and_what_is_rolled_back_are_not_written(engine, journal):
    journaling.attach(engine, journal, {"password.changed"}, snapshot)
    add(engine, "session.started", id=1)
    with pytest.raises(IntegrityError):
        add(engine, id=1)
    add(engine, "session.started")
    assert kinds(journal) == [BEGUN]


def test_a_change_that_the_journal_cannot_take_is_not_made(engine, tmp_path):
    journaling.attach(engine, Journal(tmp_path / "nowhere" / "journal", KEYS, "auth"), {"password.changed"}, snapshot)
    with pytest.raises(Unavailable):
        add(engine)
    assert people(engine) == []
    add(engine, "session.started")
    assert len(people(engine)) == 1


def test_without_a_journal_notes_go_nowhere():
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        journaling.note(connection, "acc_ann", "password.changed", NOW)
