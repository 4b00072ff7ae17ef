"""Calls that cost CPU: enrollments with their QR code, sheets of backup codes with their ten hashes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

from deploy.portal import wait_for
from services.otp import enrollment, recovery_codes
from services.otp.domain.passcode import Passcode
from services.otp.domain.recovery_code import new_sheet
from services.otp.enrollment import Confirm
from services.otp.key_uri import decode_secret
from services.otp.limits import REGENERATE_CODES
from services.otp.sheet_stock import SheetStock
from shared.budgets import Charge
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
        stock = SheetStock(HashingPool(max_waiting=1, threads=1), ahead=3)  # which no thread fills
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

    def test_new_codes_that_are_not_made_keep_no_sheet(self, world: World):
        world.enrol()
        world.account("POST", "endings", {"session_ids": ["ses_1"], "codes": False, "enrollments": False})
        assert regenerate(world).json["code"] == "session_ended"
        assert len(world.deps.sheets) == 3


class TestEmptyStock:
    """With hashes that cost what they cost, and a hashing pool that backup codes of others have filled."""

    @pytest.fixture(autouse=True)
    def _stocked(self, world: World):
        pool = HashingPool(max_waiting=1, threads=1, patience_seconds=60)
        stock = SheetStock(pool, ahead=16, patience_seconds=60)
        stock.fill()
        world.deps = replace(world.deps, sheets=stock, hashing=pool)

    def test_a_confirmation_and_new_codes_wait_for_the_next_sheet(self, world: World):
        begun = enrollment.begin(world.deps, "acc_bob", "bob", "ses_2")
        code = Passcode.parse(world.code(secret=decode_secret(begun.secret)))
        world.enrol()
        confirmation = Confirm("acc_bob", begun.id, code, "ses_2")
        with world.deps.hashing.place(), ThreadPoolExecutor(2) as both:
            new_codes = both.submit(recovery_codes.regenerate, world.deps, ACCOUNT, "ses_1")
            confirmed = both.submit(enrollment.confirm, world.deps, confirmation)
            sheets = [new_codes.result(60), confirmed.result(60)]
        assert len(set(sheets[0] + sheets[1])) == 20

    def test_new_codes_that_wait_leave_the_hashing_pool_to_backup_codes(self, world: World):
        class HeldHashing(HashingPool):
            """Makes sheets when a test lets it, and verifies as ever."""

            go_on = threading.Event()

            def hash_here(self, password):
                self.go_on.wait(60)
                return super().hash_here(password)

            def hash_many(self, passwords):
                with self.place():
                    self.go_on.wait(60)
                return super().hash_many(passwords)

        world.enrol()
        world.enrol("acc_bob")
        (code, *_) = recovery_codes.regenerate(world.deps, "acc_bob")
        pool = HeldHashing(max_waiting=1, threads=1, patience_seconds=60)
        stock = SheetStock(pool, ahead=16, patience_seconds=60)
        stock.fill()
        world.deps = replace(world.deps, sheets=stock, hashing=pool)
        with ThreadPoolExecutor(1) as other:
            waiting = other.submit(recovery_codes.regenerate, world.deps, ACCOUNT)
            try:
                wait_for(lambda: world.redis.get(Charge(REGENERATE_CODES, ACCOUNT).keys()[0]))
                assert world.verify(code, account="acc_bob").status_code == 200
            finally:
                pool.go_on.set()
            assert len(waiting.result(60)) == 10
