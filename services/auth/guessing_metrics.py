"""Metrics of guesses over all accounts. The README has the alerts."""

import time
from collections.abc import Callable, Iterator

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from redis import Redis
from redis.exceptions import RedisError

from services.auth import guessing_brake
from services.auth.domain.guessing import Guess
from shared.clock import Clock
from shared.scraping import SparingCollector, gauge

log = structlog.get_logger("auth.guessing")


class GuessingCollector(SparingCollector):
    """Asks Redis when it is scraped. When Redis does not answer, ``up`` is 0 and the other gauges are left out."""

    def __init__(
        self, redis: Redis, clock: Clock, floor: int, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(monotonic=monotonic)
        self._redis, self._clock, self._floor = redis, clock, floor

    def read(self) -> Iterator[Metric]:
        """How much is guessed, when that is too much, and whether the brake is on."""
        now = self._clock()
        try:
            readings = {guess: guessing_brake.reading(self._redis, self._floor, guess, now) for guess in Guess}
            brakes = guessing_brake.is_on(self._redis)
        except RedisError as error:
            log.warning("guessing figures not read", cause=type(error).__name__)
            yield _figure("up", "Whether Redis answers.", 0)
            return
        yield _figure("up", "Whether Redis answers.", 1)
        level = gauge("latchkey_guessing_level", "Guesses from browsers that the account does not know.", "guess")
        threshold = gauge("latchkey_guessing_threshold", "Above it the brake goes on.", "guess")
        for guess, seen in readings.items():
            level.add_metric([guess], seen.level)
            threshold.add_metric([guess], seen.threshold)
        yield from (level, threshold)
        yield _figure("brake", "New browsers have one try of six digits a day and account.", int(brakes))


def _figure(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"latchkey_guessing_{name}", what, value=value)
