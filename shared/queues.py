"""What operations see of the queues; ``python -m shared.queues`` shows it (``make queues``)."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

from celery import Celery
from kombu.transport.virtual import Channel as VirtualChannel
from redis import Redis
from redis.exceptions import RedisError

from shared import delivery
from shared.clock import system_clock, unix_milliseconds
from shared.dead_letters import DeadLetters, table
from shared.delivery import Unsent
from shared.messages import QUEUES
from shared.problems import Unavailable
from shared.queueing import PUBLISH_ERRORS, make_celery
from shared.redis_client import connect
from shared.redis_notes import notes_of
from shared.settings import Environment, SettingsError, StoreSettings

if TYPE_CHECKING:
    from kombu.transport.base import StdChannel

_CONSUMED_AT = "canaries"  # queue -> the milliseconds at which a canary was last taken from it


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages wait to be taken; how many a worker has in hand, None where the broker doesn't say."""

    waiting: int
    in_hand: int | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the state Redis knows. A queue without an age never had a canary taken from it."""

    unsent: Unsent
    dead_letters: int
    canary_age_seconds: Mapping[str, float]


def queue_of(routing_key: object) -> str | None:
    """The queue that a message with this routing key was for.

    On RabbitMQ the previous release puts binary digits before the queue's name in the key of a delayed message.
    """
    if not isinstance(routing_key, str):
        return None
    return next((queue for queue in QUEUES if f".{routing_key}".endswith(f".{queue}")), None)


def read_depths(celery: Celery, queues: Iterable[str] = tuple(QUEUES)) -> dict[str, Depth]:
    """Ask the broker. A queue that nobody has used yet is empty. Raises Unavailable("broker")."""
    try:
        with celery.connection_for_read() as connection:
            depths: dict[str, Depth] = {}
            for queue in queues:
                # RabbitMQ closes the channel on which it was asked for a queue that isn't there.
                with connection.channel() as channel:
                    held = _held(channel, queue)
                    try:
                        waiting = channel.queue_declare(queue=queue, passive=True).message_count
                    except connection.channel_errors:
                        waiting = 0
                depths[queue] = Depth(waiting, None if held is None else max(0, held - waiting))
            return depths
    except PUBLISH_ERRORS as error:
        raise Unavailable("broker") from error


def _held(channel: "StdChannel", queue: str) -> int | None:
    """How many messages wait or are held by a worker, by their notes in Redis; None for RabbitMQ."""
    if not isinstance(channel, VirtualChannel) or not hasattr(channel, "unacked_key"):
        return None
    return int(channel.client.hlen(notes_of(queue)))  # type: ignore[attr-defined]


def note_consumed(redis: Redis, queue: str, now: datetime) -> None:
    """A canary was taken from this queue. Raises RedisError."""
    redis.hset(_CONSUMED_AT, queue, str(unix_milliseconds(now)))


def read_backlog(redis: Redis, now: datetime) -> Backlog:
    """Ask the state Redis. Raises RedisError."""
    taken = cast("dict[str, str]", redis.hgetall(_CONSUMED_AT))
    return Backlog(
        unsent=delivery.unsent(redis, now),
        dead_letters=DeadLetters(redis, system_clock).count(),
        canary_age_seconds={
            queue: max(0.0, (unix_milliseconds(now) - int(at)) / 1000) for queue, at in taken.items() if queue in QUEUES
        },
    )


def main() -> int:
    """0; 1 when a store does not answer (the rest is shown); 2 when the settings are wrong."""
    env = Environment()
    stores = StoreSettings.read(env)
    try:
        env.done()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    depths, backlog, down = None, None, []
    try:
        depths = read_depths(make_celery("queues", stores.broker_url))
    except Unavailable:
        down.append("the broker does not answer")
    try:
        backlog = read_backlog(connect(stores.state_url), system_clock())
    except RedisError as error:
        down.append(f"the state Redis does not answer ({type(error).__name__})")
    sys.stdout.write(report(depths, backlog))
    sys.stderr.writelines(f"{line}\n" for line in down)
    return 1 if down else 0


def report(depths: Mapping[str, Depth] | None, backlog: Backlog | None) -> str:
    """The figures for a person; ``?`` for what could not be read."""
    rows = [("QUEUE", "WAITING", "IN HAND", "LAST CANARY")]
    for queue in QUEUES:
        depth = depths and depths[queue]
        age = backlog and backlog.canary_age_seconds.get(queue)
        rows.append(
            (
                queue,
                str(depth.waiting) if depth else "?",
                "?" if not depth or depth.in_hand is None else str(depth.in_hand),
                "?" if backlog is None else "never" if age is None else f"{age:.0f} s ago",
            )
        )
    text = table(rows)
    if backlog:
        text += f"\nunsent codes: {backlog.unsent.count}, the oldest {backlog.unsent.oldest_age_seconds:.1f} s old\n"
        text += f"dead letters: {backlog.dead_letters}\n"
    return text


if __name__ == "__main__":
    sys.exit(main())
