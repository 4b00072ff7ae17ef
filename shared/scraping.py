"""Figures that a scrape reads from a store."""

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

READ_EVERY_SECONDS = 5.0


class SparingCollector(Collector):
    """Reads when it is scraped, however often and by however many: a store that hangs must hold no thread for each."""

    def __init__(
        self, *, every_seconds: float = READ_EVERY_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
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
                    self._last = list(self.read())
                    self._read_at = self._monotonic()
            finally:
                self._reading.release()
        return self._last

    @abstractmethod
    def read(self) -> Iterator[Metric]:
        """Ask the stores."""


def gauge(name: str, what: str, *labels: str) -> GaugeMetricFamily:
    """A gauge with labels, as yet without figures."""
    return GaugeMetricFamily(name, what, labels=labels)
