"""argon2id on threads of its own, so that a flood of logins never takes the threads that codes wait for."""

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from shared.deadline import at_most, require_time
from shared.ids import new_token
from shared.problems import Unavailable

# OWASP Password Storage Cheat Sheet: argon2id, m = 19 MiB, t = 2, p = 1. The salt has 16 bytes.
MEMORY_KIB, ITERATIONS, LANES = 19456, 2, 1
PATIENCE_SECONDS = 1.8  # for all of a call; the gateway waits 2.2 s for otp, and an answer is due within three
RETRY_AFTER_SECONDS = 1
# A third of what a request thread gets. With a tenth (10) passwords starve while a new process loads on the same cores:
# of a rolling restart's logins some waited longer than their patience.
NICENESS = 5

log = structlog.get_logger("hashing")


class HashingPool:
    """Hashes on as many low-priority threads as there are cores (argon2 releases the GIL).

    At most ``max_waiting`` callers may be in the pool at a time. The next one is told 503 at once: a server that keeps
    fewer request threads than callers would let logins occupy all of them.
    """

    def __init__(
        self, *, max_waiting: int, threads: int | None = None, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._patience_seconds = patience_seconds
        self._hasher = PasswordHasher(time_cost=ITERATIONS, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._threads = threads or os.cpu_count() or 1
        self._places = threading.BoundedSemaphore(max_waiting)
        self._later = threading.BoundedSemaphore(1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="argon2", initializer=step_back)

    def hash(self, password: str) -> str:
        """The encoded hash. Raises Unavailable when the pool is full or slow, or the request's time is over."""
        return self.hash_many([password])[0]

    def hash_many(self, passwords: list[str]) -> list[str]:
        """One hash each, side by side, for one place in the queue."""
        with self.place():
            require_time()
            futures = [self._pool.submit(self._hasher.hash, password) for password in passwords]
            deadline = time.monotonic() + at_most(self._patience_seconds)
            try:
                return [future.result(max(0.0, deadline - time.monotonic())) for future in futures]
            except FutureTimeoutError:
                for future in futures:
                    future.cancel()
                raise Unavailable("password hashing", retry_after_seconds=RETRY_AFTER_SECONDS) from None

    def hash_here(self, password: str) -> str:
        """On the caller's own thread, however long it takes: for a process that starts, which nobody waits for."""
        return self._hasher.hash(password)

    def verify(self, encoded: str, password: str) -> bool:
        """Whether this is the password. Raises Unavailable like hash; a damaged hash is simply no match."""
        with self.place() as place:
            return place.verify(encoded, password)

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """A place in the pool, for a caller with something to do before it hashes that a full pool must spare it.

        Raises Unavailable at once when there is none.
        """
        if not self._places.acquire(blocking=False):
            raise Unavailable("password hashing", retry_after_seconds=RETRY_AFTER_SECONDS)
        try:
            yield Place(self._verify_in_time)
        finally:
            self._places.release()

    def needs_rehash(self, encoded: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(encoded)

    def hash_later(self, password: str, then: Callable[[str], None]) -> bool:
        """Hash in the background, and give the encoded hash to ``then``; False when one is already hashed so.

        Only one hash at a time runs so, and it takes no waiting place: a caller waits for at most one hash more.
        """
        if not self._later.acquire(blocking=False):
            return False
        self._pool.submit(self._hash_then, password, then)
        return True

    def _hash_then(self, password: str, then: Callable[[str], None]) -> None:
        try:
            then(self._hasher.hash(password))
        except Exception:
            log.exception("hashing without a caller failed")
        finally:
            self._later.release()

    def _verify_in_time(self, encoded: str, password: str) -> bool:
        require_time()
        future = self._pool.submit(self._verify, encoded, password)
        try:
            return future.result(at_most(self._patience_seconds))
        except FutureTimeoutError:
            future.cancel()
            raise Unavailable("password hashing", retry_after_seconds=RETRY_AFTER_SECONDS) from None

    def _verify(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False


@functools.cache
def decoy_hash(hashing: HashingPool) -> str:
    """A hash that nothing has, with today's parameters, to verify against where there is no hash (ASVS 6.3.8).

    Made once for each pool; ask for it at the start, or the first refusal takes twice as long as the others.
    """
    return hashing.hash_here(new_token())


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the pool. ``verify`` is HashingPool.verify for who holds one."""

    verify: Callable[[str, str], bool]


def step_back() -> None:
    """Let the kernel prefer request threads. On Linux a thread has its own niceness; elsewhere it is the process's."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
