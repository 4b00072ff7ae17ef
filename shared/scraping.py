"""Figures that a scrape reads from a store."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# However often it is scraped, and by however many: a store that hangs must not hold one thread for each.
READ_EVERY_SECONDS = 5.0


class SparingCollector(Collector):
    """Reads when it is scraped, and not too often."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._reading = threading.Lock()
        self._last: list[Metric] = []
        self._read_at: float | None = None

    def collect(self) -> Iterable[Metric]:
        """The gauges, at most READ_EVERY_SECONDS old; older while another scrape is reading them anew."""
        if self._reading.acquire(blocking=False):
            try:
                if self._read_at is None or self._monotonic() - self._read_at >= READ_EVERY_SECONDS:
                    self._last = list(self.read())
                    self._read_at = self._monotonic()
            finally:
                self._reading.release()
        return self._last

    def read(self) -> Iterator[Metric]:
        """Ask the stores."""
        raise NotImplementedError


def gauge(name: str, what: str, *labels: str) -> GaugeMetricFamily:
    """A gauge with labels, as yet without figures."""
    return GaugeMetricFamily(name, what, labels=labels)
