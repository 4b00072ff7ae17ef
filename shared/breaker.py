"""A circuit breaker for a part that may hang.

Else each request thread waits for the whole time-out, and who queues behind them waits for two or three of those.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from circuitbreaker import STATE_CLOSED, CircuitBreaker


class Breaker:
    """Opens when so many calls in a row failed; then one caller at a time tries, and the others hear so at once.

    It is never shut for a time: the first call after the part is back must not be refused.
    """

    def __init__(self, name: str, is_failure: Callable[[BaseException], bool], *, opens_after: int) -> None:
        self._circuit = _AlwaysTried(opens_after, None, lambda _kind, error: is_failure(error), name)
        self._trying = threading.Lock()

    @property
    def failed_last(self) -> bool:
        """Whether the last call failed. Who waited behind it has lost that time already."""
        return bool(self._circuit.failure_count)

    @contextmanager
    def call(self, refusal: Callable[[], Exception]) -> Iterator[bool]:
        """A call that may fail; whether it tries an open breaker: then it should not wait long, it has queued already.

        Raises what ``refusal`` makes instead of making it while another one tries.
        """
        tries = self._circuit.state != STATE_CLOSED
        if tries and not self._trying.acquire(blocking=False):
            raise refusal()
        try:
            with self._circuit:
                yield tries
        finally:
            if tries:
                self._trying.release()


class _AlwaysTried(CircuitBreaker):  # type: ignore[misc]  # it ships no types
    RECOVERY_TIMEOUT = 0
