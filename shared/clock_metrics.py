"""How far this machine's clock is off, as a Prometheus gauge."""

import contextlib
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from redis import Redis
from redis.exceptions import RedisError

from shared.clock import Clock
from shared.clock_check import seconds_ahead
from shared.scraping import SparingCollector


class ClockCollector(SparingCollector):
    """Asks Redis when it is scraped. While that does not answer nobody can tell, and there is no gauge."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        super().__init__()
        self._redis = redis
        self._clock = clock

    def read(self) -> Iterator[Metric]:
        """The one gauge."""
        with contextlib.suppress(RedisError):
            ahead = seconds_ahead(self._redis, self._clock)
            yield GaugeMetricFamily("latchkey_clock_ahead_seconds", "This machine's clock, less Redis's.", value=ahead)
