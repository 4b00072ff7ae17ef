"""python -m services.auth audit verify | export | prune | erase."""

import csv
import io
import json

import pytest
from click.testing import CliRunner

from services.auth import __main__ as cli
from services.auth import audit, audit_commands, sealer
from shared.clock import rfc3339, system_clock
from tests.support import auth
from tests.support.audit import DAY, head_of, rows_of, silent, verified
from tests.support.auth import CLIENT, NOW, timeline_of


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


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "\t=1", "\r1", "\n1", "  =1", "\uff1d1", "\uff201"])
def test_no_cell_of_an_export_begins_a_formula(text):
    out = io.StringIO()
    audit_commands._write_csv(iter([{"a": text, "b": "1 + 1", "c": None, "d": 7, "e": NOW}]), out)
    (row,) = csv.DictReader(io.StringIO(out.getvalue(), newline=""))
    assert row == {"a": f"'{text}", "b": "1 + 1", "c": "", "d": "7", "e": rfc3339(NOW)}


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


@pytest.mark.parametrize(("changes", "least"), [({}, 30), ({"RESET_BETWEEN_SECONDS": "60"}, 7)])
def test_prune_keeps_what_the_reset_policy_reads(run, monkeypatch, audit_deps, write, ann, changes, least):
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    write(ann, at=system_clock() - 40 * DAY)
    sealer.seal(audit_deps)
    refused = run("prune", "--older-than", str(least - 1))
    assert refused.exit_code == 2
    assert f"the last {least} days" in refused.stderr
    assert len(rows_of(audit_deps)) == 1
    assert run("prune", "--older-than", str(least)).exit_code == 0
    assert rows_of(audit_deps) == []


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
