"""A thread of its own for work that costs CPU: no request thread does it, and one call does it at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from threading import BoundedSemaphore
from typing import TypeVar

from shared.deadline import at_most, require_time
from shared.problems import Unavailable

T = TypeVar("T")

PATIENCE_SECONDS = 1.8
RETRY_AFTER_SECONDS = 1


class Lane:
    """Runs one piece of work after the other.

    At most ``max_waiting`` callers are in the lane, and the next one gets 503 at once.
    """

    def __init__(self, name: str, *, max_waiting: int, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._name, self._patience_seconds = name, patience_seconds
        self._places = BoundedSemaphore(max_waiting)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    def run(self, work: Callable[[], T]) -> T:
        """The work's result. Raises what the work raises, and Unavailable when the lane is full or slow."""
        if not self._places.acquire(blocking=False):
            raise self._unavailable()
        try:
            require_time()
            future = self._thread.submit(work)
            try:
                return future.result(at_most(self._patience_seconds))
            except FutureTimeoutError:
                future.cancel()
                raise self._unavailable() from None
        finally:
            self._places.release()

    def _unavailable(self) -> Unavailable:
        return Unavailable(self._name, retry_after_seconds=RETRY_AFTER_SECONDS)
