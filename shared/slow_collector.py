"""Gauges that are read from a store, and not more often than it can bear."""

import threading
import time
from collections.abc import Callable, Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector


class SlowCollector(Collector):
    """Reads when it is scraped, by however many: a store that hangs must not hold one thread for each of them."""

    def __init__(
        self,
        read: Callable[[], Iterable[Metric]],
        every_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._every_seconds = every_seconds
        self._monotonic = monotonic
        self._reading = threading.Lock()
        self._last: list[Metric] = []
        self._read_at: float | None = None

    def collect(self) -> Iterable[Metric]:
        """The gauges, at most ``every_seconds`` old; older while another scrape is reading them anew."""
        if self._reading.acquire(blocking=False):
            try:
                if self._read_at is None or self._monotonic() - self._read_at >= self._every_seconds:
                    self._last = list(self._read())
                    self._read_at = self._monotonic()
            finally:
                self._reading.release()
        return self._last
