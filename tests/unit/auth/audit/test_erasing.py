"""Personal data goes, and the chain stays."""

import pytest

from services.auth import audit, sealer
from shared.database import reading
from tests.support.audit import faults_of, rows_of, silent, verified
from tests.support.auth import CLIENT, types_of


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
