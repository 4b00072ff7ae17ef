import sys
import threading
import time

import pytest

from shared import hashing
from shared.hashing import HashingPool
from shared.problems import Unavailable

PASSWORD = "seven wet otters juggle"


@pytest.fixture(scope="module")
def pool():
    return HashingPool(max_waiting=4, patience_seconds=20)


@pytest.fixture
def slow():
    """A pool of one thread and two places, whose hashing waits for the test."""
    pool = HashingPool(max_waiting=2, threads=1)
    go, begun = threading.Event(), threading.Semaphore(0)

    def verify(encoded, password):
        begun.release()
        go.wait(10)
        return True

    pool._verify = verify
    pool.go, pool.begun = go, begun
    yield pool
    go.set()
    pool._pool.shutdown()


def refused(action):
    with pytest.raises(Unavailable) as outage:
        action()
    return outage.value


def test_a_password_verifies_against_its_own_hash_only(pool):
    encoded = pool.hash(PASSWORD)
    assert pool.verify(encoded, PASSWORD)
    for wrong in ("", PASSWORD + " ", PASSWORD.upper(), PASSWORD[:-1]):
        assert not pool.verify(encoded, wrong)


def test_parameters_are_those_of_owasp(pool):
    assert pool.hash(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_no_two_hashes_are_the_same(pool):
    one, other = pool.hash_many([PASSWORD, PASSWORD])
    assert one != other
    assert PASSWORD not in one + other
    assert pool.verify(one, PASSWORD)
    assert pool.verify(other, PASSWORD)


@pytest.mark.parametrize(
    "encoded", ["", "x", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$no$password", "$2b$12$x", "\x00"]
)
def test_a_damaged_hash_is_no_match(pool, encoded):
    assert not pool.verify(encoded, PASSWORD)


def test_a_hash_of_other_parameters_is_to_be_renewed(pool):
    from argon2 import PasswordHasher

    assert not pool.needs_rehash(pool.hash(PASSWORD))
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    assert pool.needs_rehash(weak)
    assert pool.verify(weak, PASSWORD)


def test_whoever_finds_no_place_is_told_at_once(slow):
    waiting = [threading.Thread(target=slow.verify, args=("x", "y")) for _ in range(2)]
    for thread in waiting:
        thread.start()
    assert slow.begun.acquire(timeout=5)
    while slow._places._value:
        time.sleep(0.001)
    begin = time.perf_counter()
    outage = refused(lambda: slow.verify("x", "y"))
    assert refused(lambda: slow.hash("y")).code == "service_unavailable"
    assert time.perf_counter() - begin < 0.5
    assert (outage.reason, outage.retry_after_seconds) == ("password hashing", 1)
    slow.go.set()
    for thread in waiting:
        thread.join()
    assert slow.verify("x", "y")  # and the places are free again


def test_nobody_waits_longer_than_a_503_is_due(slow, monkeypatch):
    assert hashing.PATIENCE_SECONDS < 3
    monkeypatch.setattr(hashing, "PATIENCE_SECONDS", 0.05)
    assert refused(lambda: slow.verify("x", "y")).reason == "password hashing"
    assert refused(lambda: slow.hash("y")).reason == "password hashing"
    assert refused(lambda: slow.hash_many(["x", "y"])).reason == "password hashing"
    slow.go.set()
    monkeypatch.undo()
    assert slow.verify("x", "y")


def test_an_error_gives_its_place_back(pool, monkeypatch):
    def broken(*_):
        raise MemoryError

    monkeypatch.setattr(pool, "_verify", broken)
    for _ in range(9):
        with pytest.raises(MemoryError):
            pool.verify("x", "y")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no niceness of its own")
def test_request_threads_go_before_hashing_threads(pool):
    import os

    nice = pool._pool.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
    assert nice >= hashing.NICENESS
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < nice


def test_what_is_hashed_later_takes_no_place_and_waits_for_no_other(pool):
    begun, go, made = threading.Event(), threading.Event(), []

    def then(encoded):
        begun.set()
        go.wait(5)
        made.append(encoded)

    assert pool.hash_later(PASSWORD, then)
    assert begun.wait(5)
    assert not pool.hash_later(PASSWORD, then)
    go.set()
    while not pool.hash_later(PASSWORD, made.append):
        time.sleep(0.001)
    assert pool.verify(made[0], PASSWORD)


def test_a_renewed_hash_that_cannot_be_stored_blocks_no_later_one(pool):
    def fails(_):
        raise MemoryError

    while not pool.hash_later(PASSWORD, fails):  # the test before may still hash in this pool
        time.sleep(0.001)
    while not pool.hash_later(PASSWORD, lambda _: None):
        time.sleep(0.001)


def test_a_process_that_starts_on_a_busy_machine_waits_for_its_decoy():
    hurried = HashingPool(max_waiting=1, patience_seconds=0)
    refused(lambda: hurried.hash(PASSWORD))
    assert hashing.decoy_hash(hurried).startswith("$argon2id$")
