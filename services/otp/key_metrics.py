"""How many secrets wait to be moved to the newest key, as Prometheus gauges."""

import time
from collections.abc import Callable, Iterator

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.otp.rewrapping import Place, left_behind
from services.otp.secrets_box import SecretBox
from shared.scraping import SparingCollector

COUNT_EVERY_SECONDS = 60.0  # over the index, and all that belongs there to an old key

log = structlog.get_logger("otp.keys")


class SecretsCollector(SparingCollector):
    """Counts when it is scraped. While SQL does not answer, the gauge is left out."""

    def __init__(self, database: Engine, box: SecretBox, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(every_seconds=COUNT_EVERY_SECONDS, monotonic=monotonic)
        self._database = database
        self._box = box

    def read(self) -> Iterator[Metric]:
        """Count by place."""
        try:
            uses = left_behind(self._database, self._box)
        except (DBAPIError, PoolTimeoutError) as error:
            log.warning("secrets not counted", cause=type(error).__name__)
            return
        counted = dict.fromkeys(Place, 0)
        for use in uses:
            counted[use.place] += use.secrets
        for name, what, place in _GAUGES:
            yield GaugeMetricFamily(name, what, value=counted[place])


_GAUGES = (
    ("latchkey_otp_secrets_under_old_keys", "Secrets at rest that a key behind the first holds.", Place.OTHER),
    ("latchkey_otp_secrets_without_key", "Secrets at rest whose key is not in OTP_SECRET_KEYS.", Place.MISSING),
)
