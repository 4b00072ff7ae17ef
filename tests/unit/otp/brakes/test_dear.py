"""Calls that cost CPU: enrollments with their QR code, sheets of backup codes with their ten hashes."""

from contextlib import ExitStack
from dataclasses import replace

import pytest

from services.otp.domain.recovery_code import new_sheet
from services.otp.key_uri import decode_secret
from services.otp.sheet_stock import SheetStock
from shared.hashing import HashingPool
from shared.secret import Secret
from tests.support.otp import ACCOUNT, World

CHEAP_HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"


class QuickHashing(HashingPool):
    """Sheets cost nothing here: what is tested is who may have one."""

    def hash_many(self, passwords):
        return [CHEAP_HASH for _ in passwords]


@pytest.fixture
def hashing():
    return QuickHashing(max_waiting=2, threads=1)


def begin(world: World, account: str = ACCOUNT, session: str = "ses_1"):
    return world.account("POST", "enrollments", {"label": "ann", "session_id": session}, account=account)


def confirm(world: World, begun, account: str = ACCOUNT):
    code = world.code(secret=decode_secret(Secret(begun["secret"])))
    body = {"code": code, "session_id": "ses_1"}
    return world.account("POST", f"enrollments/{begun['enrollment_id']}/confirm", body, account=account)


def regenerate(world: World, key: str | None = None, account: str = ACCOUNT):
    body = {"session_id": "ses_1"} | ({"idempotency_key": key} if key else {})
    return world.account("POST", "recovery-codes", body, account=account)


def test_ten_enrollments_in_ten_minutes_and_no_eleventh(world: World):
    statuses = [begin(world).status_code for _ in range(11)]
    assert statuses == [201] * 10 + [429]
    refused = begin(world, session="ses_2")
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 600
    assert begin(world, "acc_bob").status_code == 201


def test_what_began_before_the_budget_was_spent_can_be_confirmed(world: World):
    begun = [begin(world).json for _ in range(10)][-1]
    begin(world)
    assert confirm(world, begun).status_code == 200


def test_five_sheets_in_ten_minutes_and_no_sixth(world: World):
    world.enrol()
    world.enrol("acc_bob")
    sheets = [regenerate(world) for _ in range(6)]
    assert [answer.status_code for answer in sheets] == [200] * 5 + [429]
    assert 0 < sheets[-1].json["retry_after"] <= 600
    assert world.event_types() == ["recovery_codes.regenerated"] * 5
    assert regenerate(world, account="acc_bob").status_code == 200


def test_the_same_call_again_costs_nothing(world: World):
    world.enrol()
    assert {regenerate(world, "k1").status_code for _ in range(8)} == {200}
    assert [regenerate(world).status_code for _ in range(5)] == [200] * 4 + [429]


def test_a_sheet_that_could_not_be_made_is_given_back(world: World, hashing):
    class FullHashing(HashingPool):
        """As HashingPool; all its places are taken."""

    world.enrol()
    full = FullHashing(max_waiting=1, threads=1)
    world.deps = replace(world.deps, hashing=full)
    with full.place():
        assert {regenerate(world).status_code for _ in range(6)} == {503}
    world.deps = replace(world.deps, hashing=hashing)
    assert regenerate(world).status_code == 200


class TestHashedAhead:
    @pytest.fixture(autouse=True)
    def _stocked(self, world: World):
        stock = SheetStock(HashingPool(max_waiting=1, threads=1), ahead=3)
        for _ in range(3):
            stock.give_back([(code, CHEAP_HASH) for code in new_sheet()])
        world.deps = replace(world.deps, sheets=stock, hashing=HashingPool(max_waiting=1, threads=1))

    def test_a_full_hashing_pool_refuses_neither_a_confirmation_nor_new_codes(self, world: World):
        begun = begin(world).json
        with ExitStack() as places:
            places.enter_context(world.deps.hashing.place())
            assert confirm(world, begun).status_code == 200
            assert regenerate(world).status_code == 200
        assert len(world.deps.sheets) == 1

    def test_a_confirmation_that_fails_keeps_no_sheet(self, world: World):
        begun = begin(world).json
        world.sql("UPDATE authenticators SET expires_at = '2026-11-24 05:00:00.000000'")
        assert confirm(world, begun).json["code"] == "enrollment_expired"
        assert len(world.deps.sheets) == 3

    def test_one_sheet_is_told_to_one_account(self, world: World):
        world.enrol()
        world.enrol("acc_bob")
        anns, bobs = regenerate(world).json, regenerate(world, account="acc_bob").json
        assert not set(anns["recovery_codes"]) & set(bobs["recovery_codes"])
