import time

import pytest
from argon2 import PasswordHasher

from deploy.portal import wait_for
from services.otp.domain.recovery_code import CODES_A_SHEET
from services.otp.sheet_stock import SheetStock
from shared.hashing import HashingPool

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class QuickHashing(HashingPool):
    """Hashes that cost next to nothing; ``failures`` of them fail first."""

    failures = 0

    def hash_here(self, password):
        if self.failures:
            self.failures -= 1
            raise MemoryError
        return QUICK.hash(password)


@pytest.fixture
def hashing():
    return QuickHashing(max_waiting=1, threads=1)


@pytest.fixture
def stock(hashing):
    stock = SheetStock(hashing, ahead=3)
    stock.fill()
    wait_for(lambda: len(stock) == 3)
    return stock


def test_a_sheet_is_ten_codes_with_their_hashes(stock):
    sheet = stock.take()
    assert len({code.selector for code, _ in sheet}) == CODES_A_SHEET
    assert all(QUICK.verify(encoded, code.secret) for code, encoded in sheet)


def test_nobody_gets_another_ones_sheet_and_each_is_made_up_for(stock):
    taken = [stock.take() for _ in range(3)]
    assert len({code.secret for sheet in taken for code, _ in sheet}) == 3 * CODES_A_SHEET
    wait_for(lambda: len(stock) == 3)


def test_a_begun_enrollment_has_one_made_besides(stock):
    for _ in range(2):
        stock.expect()
    wait_for(lambda: len(stock) == 5)
    for _ in range(2):
        stock.take()
    time.sleep(0.1)
    assert len(stock) == 3


def test_a_sheet_that_nobody_has_seen_is_given_back(stock):
    sheet = stock.take()
    wait_for(lambda: len(stock) == 3)
    stock.give_back(sheet)
    assert len(stock) == 4


def test_without_a_stock_there_is_none():
    stock = SheetStock(QuickHashing(max_waiting=1, threads=1), ahead=0)
    stock.fill()
    stock.expect()
    assert stock.take() is None
    assert len(stock) == 0


def test_a_failure_does_not_end_it(hashing):
    hashing.failures = 2
    stock = SheetStock(hashing, ahead=1, pause_seconds=0)
    stock.fill()
    wait_for(lambda: len(stock) == 1)
