"""Find a worker that is alive, answers pings, and takes nothing from its queues any more: a known fault of Celery's.

Every worker process puts a canary on each of its queues, and notes what it takes from them. One that gets nothing from
a queue, though others do or messages wait there, ends itself: its supervisor starts it anew, and the broker hands what
it had taken to others.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

import structlog
from celery import Celery, Task
from redis import Redis
from redis.exceptions import RedisError

from shared.clock import Clock
from shared.problems import Unavailable
from shared.queueing import Publisher
from shared.queues import note_consumed, queue_of, read_backlog, read_depths

CANARY = "latchkey.canary"  # the name of its task, on every queue
STALLED_EXIT_CODE = 70

log = structlog.get_logger("canary")


@dataclass(frozen=True, slots=True)
class Pace:
    """All in seconds. A worker must starve for ``stalled_after`` without a break; it complains once in a while."""

    beat: float = 10.0
    fresh: float = 30.0  # a note of others that is older says nothing of now
    stalled_after: float = 300.0
    complain_every: float = 60.0


PACE = Pace()


def starving_since(before: datetime | None, *, consumed: bool, there_is_food: bool, now: datetime) -> datetime | None:
    """Since when a queue, on which there was something to take, gave this process nothing; None when it doesn't starve.

    While nobody can take anything (the broker is away, the queue is empty) nobody starves.
    """
    if consumed or not there_is_food:
        return None
    return before or now


def is_stalled(since: datetime | None, now: datetime, pace: Pace) -> bool:
    """Whether it is time to end this process."""
    return since is not None and (now - since).total_seconds() >= pace.stalled_after


class Watch:
    """Puts in the canaries of one worker process and sees that it takes some. ``end`` is what a stall leads to."""

    def __init__(
        self,
        celery: Celery,
        redis: Redis,
        clock: Clock,
        *,
        pace: Pace = PACE,
        end: Callable[[], object] | None = None,
    ) -> None:
        self._celery = celery
        self._redis = redis
        self._clock = clock
        self._pace = pace
        self._end = end or _end_process
        self._publisher = Publisher(celery)
        self._consumed: set[str] = set()
        self._since: dict[str, datetime | None] = {}
        self._complained_at: datetime | None = None
        self._thread: threading.Thread | None = None
        self._register_task()

    def consumed(self, queue: str) -> None:
        """This process has taken a message from the queue."""
        self._consumed.add(queue)

    def start(self, queues: Iterable[str]) -> None:
        """Beat from now on, until the process ends; a second call changes nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(tuple(queues),), name="canary", daemon=True)
            self._thread.start()

    def beat(self, queues: Iterable[str]) -> None:
        """Look once at each queue, then put a canary on it: what we put in last must have been taken since."""
        for queue in queues:
            self._look(queue)
            try:
                self._publisher.publish_to(queue, {}, task=CANARY)
            except Unavailable as error:
                self._complain(queue, error)

    def _run(self, queues: tuple[str, ...]) -> None:
        pause = threading.Event()
        while True:
            try:
                self.beat(queues)
            except Exception:
                log.exception("canary failed")
            pause.wait(self._pace.beat)

    def _look(self, queue: str) -> None:
        consumed = queue in self._consumed
        self._consumed.discard(queue)
        now = self._clock()
        since = starving_since(
            self._since.get(queue),
            consumed=consumed,
            there_is_food=not consumed and self._there_is_food(queue),
            now=now,
        )
        self._since[queue] = since
        if since is not None and is_stalled(since, now, self._pace):
            log.error("worker takes nothing from its queue and ends", queue=queue, since=since.isoformat())
            self._end()

    def _there_is_food(self, queue: str) -> bool:
        """Others take canaries, or messages wait. Who can't be asked says no: an outage is no stall."""
        try:
            age = read_backlog(self._redis, self._clock()).canary_age_seconds.get(queue)
            return (age is not None and age < self._pace.fresh) or read_depths(self._celery, [queue])[queue].waiting > 0
        except (RedisError, Unavailable):
            return False

    def _complain(self, queue: str, error: Unavailable) -> None:
        now = self._clock()
        if self._complained_at is None or (now - self._complained_at).total_seconds() >= self._pace.complain_every:
            self._complained_at = now
            log.warning("canary not published", queue=queue, cause=repr(error.__cause__)[:200])

    def _register_task(self) -> None:
        redis, clock = self._redis, self._clock

        @self._celery.task(name=CANARY, bind=True, shared=False, acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]
        def canary(task: Task, _document: object) -> None:
            queue = queue_of(task.request.delivery_info.get("routing_key"))
            if queue is None:
                return
            try:
                note_consumed(redis, queue, clock())
            except RedisError as error:
                log.warning("canary not noted", queue=queue, cause=type(error).__name__)


def _end_process() -> NoReturn:
    """At once: what is stuck would not follow a polite request, and what it has taken is not acknowledged."""
    sys.stderr.flush()
    os._exit(STALLED_EXIT_CODE)
