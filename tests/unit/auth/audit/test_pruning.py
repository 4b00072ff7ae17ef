"""The oldest rows go, and a checkpoint stays in their place."""

import pytest

from services.auth import audit, sealer
from services.auth.domain.chain_check import FaultKind
from services.auth.sealer import BrokenChainError
from services.auth.store import chain as store
from shared.database import reading
from tests.support.audit import DAY, faults_of, rows_of, silent, verified
from tests.support.auth import NOW


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
