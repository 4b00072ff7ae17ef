"""The figures of shared/queues.py as Prometheus gauges."""

import time
from collections.abc import Callable, Iterable, Iterator

import structlog
from celery import Celery
from prometheus_client.core import GaugeMetricFamily, Metric
from redis import Redis
from redis.exceptions import RedisError

from shared.clock import Clock
from shared.problems import Unavailable
from shared.queues import Backlog, Depth, read_backlog, read_depths
from shared.scraping import SparingCollector, gauge

log = structlog.get_logger("queues")


class QueueCollector(SparingCollector):
    """Asks the broker and the state Redis when it is scraped. What does not answer is left out, and its ``up`` is 0."""

    def __init__(
        self, celery: Celery, redis: Redis, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(monotonic=monotonic)
        self._celery = celery
        self._redis = redis
        self._clock = clock

    def read(self) -> Iterator[Metric]:
        """Depths from the broker, the backlog from Redis."""
        up = gauge("latchkey_queues_up", "Whether the store that the figures come from answers.", "store")
        yield up
        try:
            yield from _of_depths(read_depths(self._celery).items())
            up.add_metric(["broker"], 1)
        except Unavailable as error:
            log.warning("queue depths not read", cause=repr(error.__cause__)[:200])
            up.add_metric(["broker"], 0)
        try:
            yield from _of_backlog(read_backlog(self._redis, self._clock()))
            up.add_metric(["redis"], 1)
        except RedisError as error:
            log.warning("backlog not read", cause=type(error).__name__)
            up.add_metric(["redis"], 0)


def _of_depths(depths: Iterable[tuple[str, Depth]]) -> Iterator[Metric]:
    waiting = gauge("latchkey_queue_waiting_messages", "Messages that wait to be taken.", "queue")
    in_hand = gauge("latchkey_queue_unacknowledged_messages", "Messages that a worker has taken.", "queue")
    for queue, depth in depths:
        waiting.add_metric([queue], depth.waiting)
        if depth.in_hand is not None:
            in_hand.add_metric([queue], depth.in_hand)
    yield waiting
    yield in_hand


def _of_backlog(backlog: Backlog) -> Iterator[Metric]:
    age = gauge("latchkey_queue_canary_age_seconds", "Since a canary was taken; it is put in every 10 s.", "queue")
    for queue, seconds in backlog.canary_age_seconds.items():
        age.add_metric([queue], seconds)
    yield age
    for name, what, value in (
        ("latchkey_sms_codes_unsent", "SMS codes that wait to be sent.", backlog.unsent.count),
        (
            "latchkey_sms_oldest_unsent_code_age_seconds",
            "How long the oldest unsent SMS code has waited.",
            backlog.unsent.oldest_age_seconds,
        ),
        ("latchkey_dead_letters", "Messages that no task could act on.", backlog.dead_letters),
    ):
        yield GaugeMetricFamily(name, what, value=value)
