"""Whatever is done to a row is found."""

import sqlite3
from contextlib import closing

import pytest

from services.auth import audit, sealer
from services.auth.domain.chain_check import FaultKind
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared.database import writing
from shared.settings import Environment
from tests.support import auth
from tests.support.audit import DAY, faults_of, silent, verified
from tests.support.auth import CLIENT, NOW

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
