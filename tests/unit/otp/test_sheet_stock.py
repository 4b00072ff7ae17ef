import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher

from deploy.portal import wait_for
from services.otp.domain.recovery_code import CODES_A_SHEET
from services.otp.sheet_stock import SheetStock
from shared.hashing import HashingPool
from shared.problems import Unavailable

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
    sheet = stock.take_expected()
    assert len({code.selector for code, _ in sheet}) == CODES_A_SHEET
    assert all(QUICK.verify(encoded, code.secret) for code, encoded in sheet)


def test_nobody_gets_another_ones_sheet_and_each_is_made_up_for(stock):
    taken = [stock.take_expected() for _ in range(3)]
    assert len({code.secret for sheet in taken for code, _ in sheet}) == 3 * CODES_A_SHEET
    wait_for(lambda: len(stock) == 3)


def test_a_begun_enrollment_has_one_made_besides(stock):
    for _ in range(2):
        stock.expect()
    wait_for(lambda: len(stock) == 5)
    for _ in range(2):
        stock.take_expected()
    time.sleep(0.1)
    assert len(stock) == 3


def test_a_sheet_that_nobody_has_seen_is_given_back(stock):
    sheet = stock.take_expected()
    wait_for(lambda: len(stock) == 3)
    stock.give_back(sheet)
    assert len(stock) == 4


def test_without_a_stock_there_is_none():
    stock = SheetStock(QuickHashing(max_waiting=1, threads=1), ahead=0)
    stock.fill()
    stock.expect()
    assert stock.take_expected() is None
    assert len(stock) == 0


def test_a_failure_does_not_end_it(hashing):
    hashing.failures = 2
    stock = SheetStock(hashing, ahead=1, pause_seconds=0)
    stock.fill()
    wait_for(lambda: len(stock) == 1)


# --- an empty stock ---------------------------------------------------------------------------------------------------


class HeldHashing(QuickHashing):
    """Hashes so many sheets as are allowed, and then waits."""

    def __init__(self):
        super().__init__(max_waiting=1, threads=1)
        self.allowed = threading.Semaphore(0)

    def allow(self, sheets):
        self.allowed.release(sheets * CODES_A_SHEET)

    def hash_here(self, password):
        self.allowed.acquire()
        return super().hash_here(password)


@pytest.fixture
def held():
    hashing = HeldHashing()
    yield hashing
    hashing.allow(1000)


@pytest.fixture
def empty(held):
    stock = SheetStock(held, ahead=3, patience_seconds=60)
    stock.fill()
    return stock


@pytest.fixture
def others():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def waiting(stock, *, calls):
    wait_for(lambda: len(stock._waiting) == calls)


def test_a_call_waits_for_the_next_sheet(empty, held, others):
    taken = [others.submit(empty.take_expected), others.submit(empty.take_spare)]
    waiting(empty, calls=2)
    held.allow(2)
    first, second = (one.result(60) for one in taken)
    assert not {code.secret for code, _ in first} & {code.secret for code, _ in second}
    waiting(empty, calls=0)


@pytest.mark.parametrize("name", ["take_expected", "take_spare"])
def test_a_second_call_of_the_kind_is_refused_at_once_and_the_other_kind_is_not(empty, held, others, name):
    take = getattr(empty, name)
    first = others.submit(take)
    waiting(empty, calls=1)
    with pytest.raises(Unavailable) as refused:
        take()
    assert (refused.value.reason, refused.value.retry_after_seconds) == ("backup codes", 1)
    other = others.submit(empty.take_spare if name == "take_expected" else empty.take_expected)
    waiting(empty, calls=2)
    held.allow(2)
    assert first.result(60)
    assert other.result(60)


def test_it_waits_no_longer_than_its_patience_and_the_next_call_may_wait_again(held):
    stock = SheetStock(held, ahead=3, patience_seconds=0)
    stock.fill()
    for _ in range(2):
        for take in (stock.take_expected, stock.take_spare):
            with pytest.raises(Unavailable):
                take()


def test_new_codes_leave_a_sheet_for_each_enrollment_that_has_begun_four_at_most(empty, held, others):
    for _ in range(6):
        empty.expect()
    held.allow(4)
    wait_for(lambda: len(empty) == 4)
    spare = others.submit(empty.take_spare)
    waiting(empty, calls=1)
    assert empty.take_expected()
    held.allow(2)
    assert spare.result(60)
    assert len(empty) == 4


def test_new_codes_take_the_last_sheet_where_no_enrollment_has_begun(empty, held):
    held.allow(1)
    wait_for(lambda: len(empty) == 1)
    assert empty.take_spare()
    assert len(empty) == 0


def test_a_confirmation_that_was_refused_is_still_expected(held):
    stock = SheetStock(held, ahead=3, patience_seconds=0)
    stock.fill()
    stock.expect()
    with pytest.raises(Unavailable):
        stock.take_expected()
    held.allow(4)
    wait_for(lambda: len(stock) == 4)
