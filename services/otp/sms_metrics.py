"""What operations see of the guards against SMS pumping."""

import time
from collections.abc import Callable, Iterator

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from redis.exceptions import RedisError

from services.otp import lane_store
from services.otp.deps import Deps
from services.otp.domain.purpose import Purpose
from services.otp.limits import sms_day_charge
from shared.scraping import SparingCollector, gauge

log = structlog.get_logger("otp.sms")


class SmsCollector(SparingCollector):
    """Asks Redis when it is scraped. When that does not answer, its gauges are left out but for ``up``, which is 0."""

    def __init__(self, deps: Deps, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(monotonic=monotonic)
        self._deps = deps

    def read(self) -> Iterator[Metric]:
        """Which prefixes are paused, and what the day has cost."""
        deps = self._deps
        day = sms_day_charge(Purpose.LOGIN, deps.sms_daily_cap)
        (key,) = day.keys()
        try:
            paused, sends = lane_store.paused(deps.redis, deps.clock()), int(deps.redis.get(key) or 0)
        except RedisError as error:
            log.warning("sms figures not read", cause=type(error).__name__)
            yield _figure("up", "Whether Redis answers.", 0)
            return
        yield _figure("up", "Whether Redis answers.", 1)
        lanes = gauge("latchkey_sms_paused", "Codes to this prefix are paused: they are not used.", "prefix", "purpose")
        for lane in paused:
            lanes.add_metric([lane.prefix, lane.purpose], 1)
        yield lanes
        yield _figure("day_sends", "SMS codes sent in the day that began with the first of them.", sends)
        yield _figure("day_cap", "SMS codes that a day may have at most.", deps.sms_daily_cap)


def _figure(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"latchkey_sms_{name}", what, value=value)
