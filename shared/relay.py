"""The relay: carries recorded messages from the services' outboxes to the broker, in the order of recording.

Run as ``python -m shared.relay``. At least once: what was published but not marked is published again. After a broker
has lost its data, ``python -m shared.relay --again 60`` has the last hour's messages published once more.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Engine, MetaData
from sqlalchemy.exc import SQLAlchemyError

from shared import outbox
from shared.clock import Clock, system_clock
from shared.clock_check import ServerClock
from shared.database import create_database, reading, writing
from shared.dead_letters import DeadLetters
from shared.log import configure_logging
from shared.messages import UnreadableMessage
from shared.outbox import Pending
from shared.problems import Unavailable
from shared.queueing import Publisher, make_celery
from shared.redis_client import connect
from shared.secret import Secret
from shared.settings import Environment, SettingsError, StoreSettings

BATCH = 100
IDLE_SECONDS = 0.1
PAUSE_AFTER_FAILURE_SECONDS = 1.0
SWEEP_EVERY_SECONDS = 3600.0

log = structlog.get_logger("relay")


@dataclass(frozen=True, slots=True)
class Deps:
    """What the relay works with."""

    database: Engine
    publisher: Publisher
    letters: DeadLetters
    clock: Clock


TABLES = outbox.outbox_tables(MetaData())


def carry(deps: Deps) -> int:
    """Publish one batch; how many messages went out.

    No transaction is open while the broker is asked: on SQLite it would hold the only write lock that sign-ins need.
    Raises Unavailable (broker), SQLAlchemyError (database) and RedisError (dead letters); what was published by then is
    marked, so only the message that failed is tried again. One that nobody could read must not keep back the rest.
    """
    with reading(deps.database) as connection:
        waiting = outbox.pending(connection, TABLES, deps.clock(), BATCH)
    published: list[int] = []
    unreadable: list[tuple[Pending, str]] = []
    try:
        for message in waiting:
            try:
                deps.publisher.publish_to(message.queue, message.document)
            except UnreadableMessage as error:
                unreadable.append((message, str(error)))
            else:
                published.append(message.position)
    except Unavailable:
        if not published:
            raise
    finally:
        if published:
            with writing(deps.database) as connection:
                outbox.mark_published(connection, TABLES, published, deps.clock())
        for message, reason in unreadable:
            _set_aside(deps, message, reason)
    return len(published)


def _set_aside(deps: Deps, message: Pending, reason: str) -> None:
    """Out of the way once its dead letter is kept. The same message twice, after a crash in between, is one letter."""
    position = f"outbox position {message.position}"
    deps.letters.keep(
        queue=message.queue, task=None, document=message.text, reason=f"{position}: {reason}", source_id=position
    )
    with writing(deps.database) as connection:
        outbox.set_aside(connection, TABLES, [message.position])


def run(deps: Deps, stop: threading.Event) -> None:
    """Carry until stopped; survive any outage of the broker, the database or the state Redis."""
    next_sweep = 0.0
    elapsed = 0.0
    while not stop.is_set():
        pause = IDLE_SECONDS
        try:
            if elapsed >= next_sweep:
                with writing(deps.database) as connection:
                    outbox.forget_before(connection, TABLES, deps.clock() - outbox.KEEP_FOR)
                next_sweep = elapsed + SWEEP_EVERY_SECONDS
            if carry(deps) == BATCH:
                pause = 0.0
        except (Unavailable, SQLAlchemyError, RedisError) as error:
            log.warning("relay waits", reason=type(error).__name__, cause=getattr(error, "reason", None))
            pause = PAUSE_AFTER_FAILURE_SECONDS
        stop.wait(pause)
        elapsed += pause


class Relay:
    """One thread for each outbox. When one fails in a way that nobody foresaw, all end, and a supervisor restarts."""

    def __init__(
        self, database_urls: Sequence[str], broker_url: Secret[str], letters: DeadLetters, clock: Clock
    ) -> None:
        self._stop, self._failed = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(url, broker_url, letters, clock), name=f"relay-{number}")
            for number, url in enumerate(database_urls)
        ]

    def start(self) -> None:
        """Begin to carry."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stop.set()

    def join(self) -> bool:
        """Wait for the end; whether it was asked for."""
        for thread in self._threads:
            thread.join()
        return not self._failed.is_set()

    def _run(self, database_url: str, broker_url: Secret[str], letters: DeadLetters, clock: Clock) -> None:
        publisher = Publisher(make_celery("relay", broker_url))
        try:
            run(Deps(create_database(database_url), publisher, letters, clock), self._stop)
        except Exception:
            log.exception("relay failed")
            self._failed.set()
            self._stop.set()


def database_urls(env: Environment) -> list[str]:
    """Of both outboxes."""
    return [env.database_url("AUTH_DATABASE_URL"), env.database_url("OTP_DATABASE_URL")]


def from_environment(env: Environment) -> Relay:
    """The relay of both outboxes. Raises SettingsError."""
    urls, stores = database_urls(env), StoreSettings.read(env)
    env.done()
    # Who recorded when a message is due is another process, and a cool-off must not end early.
    state = connect(stores.state_url)
    return Relay(urls, stores.broker_url, DeadLetters(state, system_clock), ServerClock(state))


def publish_again(env: Environment, minutes: int) -> int:
    """Mark the last minutes' messages as not yet published, for the relay that runs; how many. Raises SettingsError."""
    urls = database_urls(env)
    env.done()
    since, marked = system_clock() - timedelta(minutes=minutes), 0
    for url in urls:
        database = create_database(url)
        with writing(database) as connection:
            marked += outbox.publish_again(connection, TABLES, since)
        database.dispose()
    return marked


def main(arguments: Sequence[str] = ()) -> int:
    """Composition root: 0 after a signal, 1 after a failure, 2 when the settings are wrong."""
    parser = argparse.ArgumentParser(prog="python -m shared.relay", description=__doc__)
    parser.add_argument("--again", type=int, metavar="MINUTES", help="publish these once more, by the relay that runs")
    minutes = parser.parse_args(arguments).again
    env = Environment()
    mode = env.mode()
    try:
        if minutes is not None:
            sys.stdout.write(f"{publish_again(env, minutes)} messages are published once more\n")
            return 0
        relay = from_environment(env)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except SQLAlchemyError as error:
        sys.stderr.write(f"the database does not answer ({type(error).__name__})\n")
        return 1
    configure_logging("relay", mode)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: relay.stop())
    relay.start()
    return 0 if relay.join() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
