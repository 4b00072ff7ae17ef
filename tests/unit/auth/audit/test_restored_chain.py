"""A chain that was set back to a backup: what the signed statement of a restore explains, and what it does not."""

from datetime import timedelta

import pytest

from services.auth import audit, sealer
from services.auth.domain import chain
from services.auth.domain.chain_check import FaultKind
from services.auth.store import chain as store
from shared.database import reading, writing
from tests.support.audit import DAY, faults_of, head_of, rows_of, silent, verified


def seal_restore(audit_deps, backup_taken_at):
    """What after-restore does to the chain."""
    with writing(audit_deps.database) as connection:
        return audit.resume(audit_deps, connection, backup_taken_at)


@pytest.fixture
def restored(audit_deps, write, ann, clock):
    """Three rows of the backup, the statement, and two rows of after it."""
    for _ in range(3):
        write(ann)
    sealer.seal(audit_deps)
    taken_at = clock()
    clock.turn(hours=1)
    statement = seal_restore(audit_deps, taken_at)
    for _ in range(2):
        write(ann)
    sealer.seal(audit_deps)
    return statement


def test_the_chain_goes_on_beyond_all_that_was_lost_and_verifies(audit_deps, restored):
    assert [row.seal.sequence for row in rows_of(audit_deps)] == [1, 2, 3, restored.resumes_at, restored.resumes_at + 1]
    verdict = verified(audit_deps)
    assert (verdict.faults, verdict.restores, verdict.rows) == ([], [restored], 5)


def test_an_anchor_of_the_lost_part_is_explained_and_counted(audit_deps, restored):
    kept = {
        3: rows_of(audit_deps)[2].seal.mac,
        4: "1:lost",
        900: "1:lost too",
        head_of(audit_deps).sequence: head_of(audit_deps).mac,
    }
    verdict = verified(audit_deps, kept)
    assert (verdict.faults, verdict.explained) == ([], 2)


def test_an_anchor_of_the_backup_or_of_after_the_restore_is_not_explained(audit_deps, restored):
    assert faults_of(audit_deps, {3: "1:other"}) == [(FaultKind.ANCHOR, 3)]
    assert faults_of(audit_deps, {restored.resumes_at: "1:other"}) == [(FaultKind.ANCHOR, restored.resumes_at)]
    later = restored.resumes_at + 2
    assert faults_of(audit_deps, {later: "1:gone"}) == [(FaultKind.MISSING, later)]


def test_right_after_the_restore_the_end_of_the_chain_is_an_anchor_like_any(audit_deps, write, ann, clock):
    write(ann)
    sealer.seal(audit_deps)
    seal_restore(audit_deps, clock())
    end = head_of(audit_deps)
    assert faults_of(audit_deps, {end.sequence: end.mac}) == []
    assert faults_of(audit_deps, {end.sequence: "1:other"}) == [(FaultKind.ANCHOR, end.sequence)]


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM timeline_restores", FaultKind.MISSING),
        ("UPDATE timeline_restores SET resumes_at = resumes_at + 1", FaultKind.FORGED_RESTORE),
        ("UPDATE timeline_restores SET backup_ended_at = 0", FaultKind.FORGED_RESTORE),
    ],
)
def test_a_statement_that_was_taken_away_or_changed_explains_nothing(audit_deps, restored, unguarded, statement, fault):
    unguarded(statement)
    assert faults_of(audit_deps)[0][0] is fault


def test_an_edit_before_or_after_the_restore_is_found(audit_deps, restored, unguarded):
    unguarded("UPDATE timeline SET actor = 'owner2' WHERE sequence = 2")
    unguarded(f"DELETE FROM timeline WHERE sequence = {restored.resumes_at}")  # noqa: S608
    assert faults_of(audit_deps) == [
        (FaultKind.EDITED, 2),
        (FaultKind.MISSING, restored.resumes_at),
    ]


def test_rows_that_were_sealed_between_the_restore_and_the_command_stay_checked(audit_deps, write, ann, clock):
    """The stack ran for a while: its rows have numbers that the lost part had, too."""
    write(ann)
    sealer.seal(audit_deps)
    taken_at = clock()
    clock.turn(minutes=1)
    write(ann)
    sealer.seal(audit_deps)
    seal_restore(audit_deps, taken_at)
    assert faults_of(audit_deps, {2: "1:lost"}) == []


def test_a_second_restore_from_the_same_backup_begins_beyond_the_first(audit_deps, restored):
    later = chain.restored(
        audit_deps.keys.newest,
        restored.sequence,
        restored.mac,
        backup_ended_at=3,
        backup_taken_at=restored.backup_taken_at,
        at=restored.at + timedelta(seconds=1),
    )
    assert later.resumes_at >= restored.resumes_at + chain.LOST_ROWS_A_SECOND


def test_pruning_goes_past_a_restore(audit_deps, restored):
    checkpoint = audit.prune(audit_deps, -DAY, silent)
    assert checkpoint.sequence == restored.resumes_at + 1
    verdict = verified(audit_deps)
    assert (verdict.faults, verdict.rows, verdict.restores) == ([], 0, [])
    with reading(audit_deps.database) as connection:
        assert store.restores(connection) == [restored]


def test_a_chain_goes_on_once_for_a_restore(audit_deps, restored):
    assert seal_restore(audit_deps, restored.backup_taken_at) is None


def test_a_restore_does_not_make_a_broken_chain_whole(audit_deps, write, ann, unguarded, clock):
    write(ann)
    sealer.seal(audit_deps)
    unguarded("UPDATE timeline_anchors SET signature = '1:forged'")
    with pytest.raises(sealer.BrokenChainError):
        seal_restore(audit_deps, clock())


def test_a_backup_without_a_single_seal_goes_on_too(audit_deps, write, ann, clock):
    write(ann)
    restored = seal_restore(audit_deps, clock())
    sealer.seal(audit_deps)
    assert [row.seal.sequence for row in rows_of(audit_deps)] == [restored.resumes_at]
    assert faults_of(audit_deps, {1: "1:lost"}) == []
