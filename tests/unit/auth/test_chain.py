"""The arithmetic of the audit chain: any single change of a chain is found, and the first bad row named."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.auth.domain import chain
from services.auth.domain.chain import GENESIS, AnchorName, Record, Sealed
from services.auth.domain.chain_check import Checker, FaultKind
from shared.keys import KeyList, encode_key
from tests.support.auth import NOW

KEYS = KeyList.parse(f"c2:{encode_key(b'2' * 32)},c1:{encode_key(b'1' * 32)}")
NEW, OLD = KEYS
STRANGER = KeyList.parse(f"c2:{encode_key(b'x' * 32)}").newest

law = settings(max_examples=40, deadline=None)

PARTS = [(None, None), ("192.0.2.7", None), ("2001:db8::1", {"browser": "ä"}), (None, {"phone_hint": "•• 89"})]
RECORDS = st.builds(
    Record,
    position=st.none(),
    id=st.none(),
    account_id=st.sampled_from(["acc_a", "acc_b"]),
    at=st.integers(-(10**9), 10**9).map(lambda number: NOW + timedelta(microseconds=number)),
    type=st.sampled_from(["session.started", "phone.set"]),
    actor=st.sampled_from(["owner", "system", "operator:acc_op"]),
    details=st.sampled_from(
        [{}, {"factors": ["password", "totp"], "session_id": "ses_1"}, {"remaining": 3, "ü": None}]
    ),
    ip=st.none(),
    personal=st.none(),
)


@st.composite
def chains(draw, least=1):
    """A few rows, sealed under one key and from somewhere on under the next, in another order than written."""
    length = draw(st.integers(least, 6))
    positions = draw(st.permutations(range(10, 10 + length)))
    turned = draw(st.integers(0, length))
    rows, mac = [], GENESIS
    for sequence, position in enumerate(positions, 1):
        key = OLD if sequence <= turned else NEW
        ip, personal = draw(st.sampled_from(PARTS))
        record = replace(draw(RECORDS), position=position, id=f"evt_{position}", ip=ip, personal=personal)
        seal = chain.seal(
            record,
            sequence=sequence,
            previous=mac,
            key=key,
            salt=f"{sequence:032x}",
            sealed_at=NOW + timedelta(seconds=sequence),
        )
        mac = seal.mac
        rows.append(Sealed(record, seal))
    return rows


def head_of(rows):
    newest = rows[-1].seal
    return chain.anchor(NEW, AnchorName.HEAD, newest.sequence, newest.mac, NOW)


def check(rows, head, *, keys=KEYS, checkpoint=None, erasures=(), anchors=None):
    """The faults, with the rows as a database gives them: by their numbers."""
    checker = Checker(keys, checkpoint, erasures, anchors)
    in_order = sorted(rows, key=lambda row: (row.seal.sequence, row.record.position))
    return [*checker.begin(), *(fault for row in in_order for fault in checker.take(row)), *checker.end(head)]


@law
@given(chains())
def test_a_chain_that_nobody_touched_has_no_fault(rows):
    assert check(rows, head_of(rows)) == []


def test_nothing_at_all_has_no_fault():
    assert check([], None) == []


EDITS = {
    "position": lambda value: value + 1000,
    "id": lambda value: value + "x",
    "account_id": lambda value: value + "x",
    "at": lambda value: value + timedelta(microseconds=1),
    "type": lambda value: value + "x",
    "actor": lambda value: value + "x",
    "details": lambda value: {**value, "new": 1},
}
SEAL_EDITS = {
    "sealed_at": lambda value: value + timedelta(microseconds=1),
    "mac": lambda value: value[:-1] + ("0" if value[-1] != "0" else "1"),
    "key_id": lambda value: "c1" if value == "c2" else "c2",
}


@pytest.mark.parametrize("name", [*EDITS, *SEAL_EDITS])
@law
@given(data=st.data())
def test_an_edited_row_is_named(name, data):
    rows = data.draw(chains())
    at = data.draw(st.integers(0, len(rows) - 1))
    head, row = head_of(rows), rows[at]
    if name in EDITS:
        row = replace(row, record=replace(row.record, **{name: EDITS[name](getattr(row.record, name))}))
    else:
        row = replace(row, seal=replace(row.seal, **{name: SEAL_EDITS[name](getattr(row.seal, name))}))
    first = check([*rows[:at], row, *rows[at + 1 :]], head)[0]
    assert (first.kind, first.sequence, first.row_id) == (FaultKind.EDITED, at + 1, row.record.id)


PERSONAL_EDITS = {
    "another IP": lambda row: replace(row, record=replace(row.record, ip="198.51.100.1")),
    "another browser": lambda row: replace(row, record=replace(row.record, personal={"browser": "another, longer"})),
    "another salt": lambda row: replace(row, seal=replace(row.seal, salt="f" * 32)),
    "no salt": lambda row: replace(row, seal=replace(row.seal, salt=None)),
    "values away, the salt kept": lambda row: replace(row, record=replace(row.record, ip=None, personal=None)),
}


@pytest.mark.parametrize("name", PERSONAL_EDITS)
@law
@given(data=st.data())
def test_an_edited_personal_part_is_named(name, data):
    rows = data.draw(chains().filter(lambda rows: any(row.record.personal_part for row in rows)))
    at = data.draw(st.sampled_from([at for at, row in enumerate(rows) if row.record.personal_part]))
    changed = PERSONAL_EDITS[name](rows[at])
    (fault,) = check([*rows[:at], changed, *rows[at + 1 :]], head_of(rows))
    assert (fault.kind, fault.sequence, fault.row_id) == (FaultKind.PERSONAL_EDITED, at + 1, rows[at].record.id)


@law
@given(chains(), st.data())
def test_a_personal_part_that_was_never_there_is_found(rows, data):
    at = data.draw(st.integers(0, len(rows) - 1))
    record = replace(rows[at].record, ip=None, personal=None)
    bare = chain.seal(record, sequence=1, previous=GENESIS, key=NEW, salt="0" * 32, sealed_at=NOW)
    assert (bare.salt, bare.commitment) == (None, None)
    row = Sealed(replace(record, ip="192.0.2.7"), bare)
    (fault,) = check([row], head_of([row]))
    assert fault.kind is FaultKind.PERSONAL_EDITED


@law
@given(chains(), st.data())
def test_a_new_commitment_does_not_fit_the_seal(rows, data):
    """Who changes the value, the salt and the commitment together still has no key."""
    at = data.draw(st.integers(0, len(rows) - 1))
    record, salt = replace(rows[at].record, ip="198.51.100.9"), "e" * 32
    seal = replace(rows[at].seal, salt=salt, commitment=chain.commit(salt, record.personal_part))
    first = check([*rows[:at], Sealed(record, seal), *rows[at + 1 :]], head_of(rows))[0]
    assert (first.kind, first.sequence) == (FaultKind.EDITED, at + 1)


@law
@given(chains(), st.data())
def test_deleted_rows_are_named_by_their_numbers_also_at_either_end(rows, data):
    first = data.draw(st.integers(1, len(rows)))
    last = data.draw(st.integers(first, len(rows)))
    fault = check([*rows[: first - 1], *rows[last:]], head_of(rows))[0]
    assert (fault.kind, fault.sequence, fault.through) == (FaultKind.MISSING, first, last)


@law
@given(chains(least=2), st.data())
def test_a_tail_that_is_cut_off_with_its_head_is_found_for_want_of_the_key(rows, data):
    left = data.draw(st.integers(1, len(rows) - 1))
    newest = rows[left - 1].seal
    forged = chain.anchor(STRANGER, AnchorName.HEAD, newest.sequence, newest.mac, NOW)
    for head in (forged, None, replace(head_of(rows), sequence=left, mac=newest.mac)):
        assert check(rows[:left], head)[-1].kind is FaultKind.HEAD


@law
@given(chains(least=2), st.data())
def test_an_older_state_with_its_own_head_is_found_by_an_anchor_that_was_kept(rows, data):
    left = data.draw(st.integers(1, len(rows) - 1))
    older, anchors = head_of(rows[:left]), {len(rows): rows[-1].seal.mac}
    assert check(rows[:left], older) == []  # by itself it cannot be told from the truth
    fault = check(rows[:left], older, anchors=anchors)[0]
    assert (fault.kind, fault.sequence, fault.through) == (FaultKind.MISSING, left + 1, len(rows))


@law
@given(chains())
def test_a_chain_that_was_made_anew_is_found_by_an_anchor_that_was_kept(rows):
    fault = check(rows, head_of(rows), anchors={1: "1:" + "0" * 64})[0]
    assert (fault.kind, fault.sequence, fault.row_id) == (FaultKind.ANCHOR, 1, rows[0].record.id)


@law
@given(chains(least=2), st.data())
def test_swapped_rows_are_found_at_the_first_of_them(rows, data):
    one = data.draw(st.integers(0, len(rows) - 2))
    other = data.draw(st.integers(one + 1, len(rows) - 1))
    head, a, b = head_of(rows), rows[one], rows[other]

    def swapped(for_a, for_b):
        changed = list(rows)
        changed[one], changed[other] = for_a, for_b
        return check(changed, head)[0]

    contents = swapped(replace(a, record=b.record), replace(b, record=a.record))
    assert (contents.sequence, contents.row_id) == (one + 1, b.record.id)
    # With their whole seals but the numbers, then with the numbers only.
    numbers = swapped(
        replace(a, seal=replace(a.seal, sequence=b.seal.sequence)),
        replace(b, seal=replace(b.seal, sequence=a.seal.sequence)),
    )
    assert (numbers.kind, numbers.sequence, numbers.row_id) == (FaultKind.EDITED, one + 1, b.record.id)


@law
@given(chains(), st.data())
def test_an_inserted_row_is_named(rows, data):
    at = data.draw(st.integers(1, len(rows)))
    record = replace(rows[at - 1].record, position=5000, id="evt_new")
    previous = rows[at - 2].seal.mac if at > 1 else GENESIS
    forged = chain.seal(record, sequence=at, previous=previous, key=STRANGER, salt="0" * 32, sealed_at=NOW)
    for seal in (rows[at - 1].seal, forged):
        fault = check([*rows, Sealed(record, seal)], head_of(rows))[0]
        assert (fault.kind, fault.sequence, fault.row_id) == (FaultKind.INSERTED, at, "evt_new")
    # In place of another, and all behind it moved up by one.
    moved = [replace(row, seal=replace(row.seal, sequence=row.seal.sequence + 1)) for row in rows[at - 1 :]]
    fault = check([*rows[: at - 1], Sealed(record, forged), *moved], head_of(rows))[0]
    assert (fault.kind, fault.sequence, fault.row_id) == (FaultKind.EDITED, at, "evt_new")
    # Behind the end.
    extra = chain.seal(
        record, sequence=len(rows) + 1, previous=rows[-1].seal.mac, key=STRANGER, salt="0" * 32, sealed_at=NOW
    )
    fault = check([*rows, Sealed(record, extra)], head_of(rows))[0]
    assert (fault.kind, fault.sequence, fault.row_id) == (FaultKind.EDITED, len(rows) + 1, "evt_new")


def blank(row):
    return Sealed(replace(row.record, ip=None, personal=None), replace(row.seal, salt=None))


def wiped(rows, account_id, through):
    return [
        blank(row)
        if row.seal.sequence <= through and account_id in chain.people_in(row.record.account_id, row.record.actor)
        else row
        for row in rows
    ]


@law
@given(chains(), st.data())
def test_an_erased_chain_verifies_and_counts_what_is_erased(rows, data):
    account_id = data.draw(st.sampled_from(["acc_a", "acc_b", "acc_op"]))
    through = data.draw(st.integers(0, len(rows)))
    erased = wiped(rows, account_id, through)
    record = chain.erasure(NEW, account_id, through, NOW)
    assert check(erased, head_of(rows), erasures=[record]) == []
    checker = Checker(KEYS, None, [record])
    for row in erased:
        assert list(checker.take(row)) == []
    assert checker.erased == sum(old != new for old, new in zip(rows, erased, strict=True))


@law
@given(chains().filter(lambda rows: any(row.record.personal_part for row in rows)), st.data())
def test_what_was_blanked_without_an_erasure_is_named(rows, data):
    at = data.draw(st.sampled_from([at for at, row in enumerate(rows) if row.record.personal_part]))
    changed = [*rows[:at], blank(rows[at]), *rows[at + 1 :]]
    row = rows[at].record
    too_early = [chain.erasure(NEW, person, at, NOW) for person in chain.people_in(row.account_id, row.actor)]
    somebody_else = [chain.erasure(NEW, "acc_z", len(rows), NOW)]
    for erasures in ([], too_early, somebody_else):
        (fault,) = check(changed, head_of(rows), erasures=erasures)
        assert (fault.kind, fault.sequence, fault.row_id) == (FaultKind.BLANKED, at + 1, row.id)
    forged = chain.erasure(STRANGER, row.account_id, len(rows), NOW)
    assert {fault.kind for fault in check(changed, head_of(rows), erasures=[forged])} == {
        FaultKind.FORGED_ERASURE,
        FaultKind.BLANKED,
    }


@law
@given(chains(), st.data())
def test_a_pruned_chain_verifies_from_its_checkpoint(rows, data):
    at = data.draw(st.integers(1, len(rows)))
    newest = rows[at - 1].seal
    checkpoint = chain.anchor(NEW, AnchorName.CHECKPOINT, newest.sequence, newest.mac, NOW)
    assert check(rows[at:], head_of(rows), checkpoint=checkpoint) == []
    assert check(rows[at:], head_of(rows))[0].kind is FaultKind.MISSING  # without it
    left_behind = check(rows[at - 1 :], head_of(rows), checkpoint=checkpoint)[0]
    assert (left_behind.kind, left_behind.row_id) == (FaultKind.INSERTED, rows[at - 1].record.id)
    forged = chain.anchor(STRANGER, AnchorName.CHECKPOINT, newest.sequence, newest.mac, NOW)
    as_head = chain.anchor(NEW, AnchorName.HEAD, newest.sequence, newest.mac, NOW)
    for false in (forged, replace(as_head, name=AnchorName.CHECKPOINT)):
        assert check(rows[at:], head_of(rows), checkpoint=false)[0].kind is FaultKind.FORGED_CHECKPOINT


@law
@given(chains(least=2), st.data())
def test_rows_that_are_deleted_behind_a_checkpoint_are_named(rows, data):
    at = data.draw(st.integers(1, len(rows) - 1))
    newest = rows[at - 1].seal
    checkpoint = chain.anchor(NEW, AnchorName.CHECKPOINT, newest.sequence, newest.mac, NOW)
    fault = check(rows[at + 1 :], head_of(rows), checkpoint=checkpoint)[0]
    assert (fault.kind, fault.sequence) == (FaultKind.MISSING, at + 1)


def test_a_key_that_is_gone_is_said():
    record = Record(1, "evt_1", "acc_a", NOW, "session.started", "owner", {}, None, None)
    seal = chain.seal(record, sequence=1, previous=GENESIS, key=OLD, salt="0" * 32, sealed_at=NOW)
    rows = [Sealed(record, seal)]
    faults = check(rows, head_of(rows), keys=KeyList((NEW,)))
    assert [(fault.kind, fault.row_id) for fault in faults] == [(FaultKind.UNKNOWN_KEY, "evt_1")]
    assert "AUTH_AUDIT_KEYS" in str(faults[0])


def test_the_encoding_of_version_1_stays():
    """Rows that are sealed once must verify for ever: this vector may never change."""
    record = Record(
        7, "evt_1", "acc_ä", NOW, "phone.set", "owner", {"b": [1, None], "a": "é"}, "192.0.2.7", {"browser": "x"}
    )
    seal = chain.seal(record, sequence=1, previous=GENESIS, key=OLD, salt="0" * 32, sealed_at=NOW)
    assert record.personal_part == '["192.0.2.7",{"browser":"x"}]'
    assert seal.commitment == "6b85cda71f311c3ed5e1355cf9f426c981b44f46066d918ae2fba674932f1fd9"
    assert seal.mac == "1:f1be91e2a74a632c4c1f33495d9dc1679babe896062af5a2883d04574bf303ee"
