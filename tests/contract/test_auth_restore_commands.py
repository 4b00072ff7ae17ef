"""python -m services.auth after-restore, restores, journal: what an operator must say, and what is refused."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from services.auth import journaled
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared.database import writing
from shared.journal import Entry as Line
from tests.support import auth
from tests.support.auth import PASSWORD, fresh, timeline_of


@pytest.fixture
def run(of_auth):
    return of_auth.after_restore


@pytest.fixture
def deps(of_auth):
    return of_auth.deps


@pytest.fixture
def mia(deps, pool):
    return auth.make_account(deps, "mia@example.com", password_hash=pool.hash(PASSWORD))


def changed_in_the_gap(of_auth, account, entry=Entry.PASSWORD_CHANGED):
    """A line of the journal, and nothing in the database."""
    with writing(of_auth.database) as connection:
        state = journaled._state(connection, account.id, entry)
    row = {**state["account"], "password_hash": "changed"}
    at = of_auth.taken_at + timedelta(minutes=5)
    of_auth.journal.append([Line(entry, account.id, at, "owner", {**state, "account": row})])


def hash_of(deps, account):
    with writing(deps.database) as connection:
        return accounts.password(connection, account.id).encoded


def test_there_is_no_silent_default(of_auth):
    time = ("--backup-taken-at", "2026-11-24T05:00:00Z")
    for arguments, says in (
        (("--restored=auth",), "--backup-taken-at"),
        (time, "--restored"),
        (("--backup-taken-at", "2026-11-24T05:00:00", "--restored=redis"), "zone"),
    ):
        result = of_auth.call("after-restore", *arguments)
        assert result.exit_code == 2
        assert says in result.stderr


def test_a_backup_of_the_future_is_refused(run):
    result = run(taken_at=datetime.now(UTC) + timedelta(days=1))
    assert result.exit_code == 2
    assert "in the future" in result.stderr


def test_the_first_call_reports_and_the_second_finishes(run, of_auth, deps, mia):
    with writing(deps.database) as connection:
        timeline.write(connection, mia.id, Entry.TWO_FACTOR_ENABLED, of_auth.taken_at - timedelta(minutes=10))
    changed_in_the_gap(of_auth, mia)
    first = run()
    assert first.exit_code == 0, first.output
    head, word, end = (json.loads(line) for line in first.stdout.splitlines())
    assert (head["report"], head["other_restore"]) == ("auth", None)
    assert (word["account_id"], word["two_factor"], end) == (mia.id, "on", {"end": 1})
    assert hash_of(deps, mia) == "changed"
    otp = of_auth.others_report({"account_id": mia.id, "finding": "two_factor_lost"})
    second = run("--otp-report", "-", stdin=otp)
    assert second.exit_code == 0, second.output
    found = [json.loads(line) for line in second.stdout.splitlines()]
    assert {"account_id": mia.id, "finding": "two_factor_lost"} in found
    assert fresh(deps, mia).enrollment_prompted
    listed = of_auth.call("restores").stdout.splitlines()
    assert json.loads(listed[0])["finished_at"] is not None
    assert any("two_factor_lost" in line for line in listed[1:])


def test_a_report_about_another_backup_or_in_part_is_refused(run, of_auth, mia):
    assert run().exit_code == 0
    another = of_auth.others_report(taken_at=of_auth.taken_at - timedelta(hours=1))
    headless = json.dumps({"report": "otp"})
    for report in (another, of_auth.others_report().splitlines()[0], "no report", headless, "[]\n[]"):
        result = run("--otp-report", "-", stdin=report)
        assert result.exit_code == 1
        assert "no whole report of otp" in result.stderr


def test_a_dry_run_changes_nothing(run, of_auth, deps, mia):
    changed_in_the_gap(of_auth, mia)
    result = run("--dry-run")
    assert result.exit_code == 0, result.output
    assert "apply from the journal: 1 x password.changed" in result.stdout
    assert hash_of(deps, mia) != "changed"
    assert timeline_of(deps, mia) == []


def test_a_database_with_later_rows_is_not_taken_for_the_restored_one(run, deps, mia):
    with writing(deps.database) as connection:
        timeline.write(connection, mia.id, Entry.SIGNED_IN, datetime.now(UTC))
    result = run()
    assert result.exit_code == 1
    assert "is this the restored database" in result.stderr
    assert run("--although-newer").exit_code == 0


@pytest.mark.parametrize("earlier", ["redis", "otp"])
def test_a_restore_of_something_else_does_not_vouch_for_auths_database(run, of_auth, deps, mia, earlier):
    assert run(restored=[earlier]).exit_code == 0
    assert run("--otp-report=-", restored=[earlier], stdin=of_auth.others_report()).exit_code == 0
    with writing(deps.database) as connection:
        timeline.write(connection, mia.id, Entry.SIGNED_IN, datetime.now(UTC))
    result = run()
    assert result.exit_code == 1
    assert "is this the restored database" in result.stderr
    assert run("--although-newer").exit_code == 0
    assert run().exit_code == 0


def test_after_redis_alone_a_dry_run_says_what_the_call_does(run, of_auth, deps, mia):
    changed_in_the_gap(of_auth, mia)
    assert run(restored=["redis"]).exit_code == 0
    surveyed = run("--dry-run")
    assert "is finished" not in surveyed.stdout
    assert "apply from the journal: 1 x password.changed" in surveyed.stdout
    assert "is finished" in run("--dry-run", restored=["redis"]).stdout
    assert run().exit_code == 0
    assert hash_of(deps, mia) == "changed"


def test_an_unfinished_restore_is_not_worked_through_for_fewer_databases(run, of_auth, mia):
    assert run().exit_code == 0
    refused = run(restored=["otp"])
    assert refused.exit_code == 1
    assert "--restored auth --restored otp" in refused.stderr
    assert json.loads(of_auth.call("restores").stdout.splitlines()[0])["restored"] == ["auth"]
    assert run(restored=["redis"]).exit_code == 0
    assert run(restored=["auth", "otp"]).exit_code == 0


def test_a_journal_that_begins_too_late_or_is_not_whole_is_not_enough(run, of_auth, mia):
    changed_in_the_gap(of_auth, mia)
    changed_in_the_gap(of_auth, mia, Entry.ROLE_CHANGED)
    lines = of_auth.journal_file.read_bytes().splitlines(keepends=True)
    of_auth.journal_file.write_bytes(lines[0] + lines[2])
    result = run()
    assert result.exit_code == 1
    assert "not whole" in result.stderr
    assert run("--despite-journal-faults").exit_code == 0
    assert run(taken_at=of_auth.taken_at - timedelta(days=2)).exit_code == 1
    assert "--without-journal" in run(without=["AUTH_JOURNAL"]).stderr


def test_without_a_journal_the_operator_must_decide_about_passwords(run, deps, mia):
    before = hash_of(deps, mia)
    assert "--passwords" in run("--without-journal").stderr
    assert run("--without-journal", "--passwords", "keep").exit_code == 0
    assert hash_of(deps, mia) == before


def test_no_password_of_the_backup_is_right_where_they_are_void(run, deps, mia, pool):
    assert run("--without-journal", "--passwords", "void").exit_code == 0
    assert not pool.verify(hash_of(deps, mia), PASSWORD)


def test_prune_drops_old_lines(of_auth, mia):
    changed_in_the_gap(of_auth, mia)
    result = of_auth.call("journal", "prune", "--older-than", "1")
    assert result.exit_code == 0, result.output
    assert result.stdout == "1 lines dropped\n"
    assert [entry.kind for entry in of_auth.journal.read().entries] == ["password.changed"]
