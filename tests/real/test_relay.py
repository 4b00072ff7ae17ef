"""The relay on PostgreSQL, over both brokers: two at once, and outages of either side, in a process of its own."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import fakeredis
import pytest

from deploy.local.settings import ROOT
from services.auth.models import BOX
from shared import outbox, relay
from shared.clock import system_clock
from shared.database import create_database, writing
from shared.dead_letters import DeadLetters
from shared.messages import AUTH_EVENTS, RecoveryCodesRegenerated
from tests.support.postgres import Databases
from tests.support.signing import SIGNERS

pytestmark = pytest.mark.timeout(180)

BACK_SECONDS = 60.0


@pytest.fixture
def running_databases(postgres, databases: Databases):
    if not postgres[0].answers():
        postgres[0].start()
    return databases


@pytest.fixture
def auth_url(running_databases):
    return running_databases.empty("auth")


@pytest.fixture
def database(auth_url):
    engine = create_database(auth_url)
    yield engine
    engine.dispose()


def record(database, *numbers):
    with writing(database) as connection:
        for number in numbers:
            event = RecoveryCodesRegenerated(id=f"evt_{number}", occurred_at=datetime.now(UTC), account_id="acc_1")
            outbox.record(connection, BOX, event, SIGNERS["otp"])


def taken(broker) -> list[str]:
    """The ids that are on the queue now; they are taken from it."""
    ids = []
    with broker.patient.connection_for_read() as connection:
        queue = broker.patient.amqp.queues[AUTH_EVENTS](connection.default_channel)
        while (message := queue.get(no_ack=True)) is not None:
            ids.append(message.payload[0][0]["id"])
    return ids


def wait_for(broker, message_id: str) -> None:
    deadline = time.monotonic() + BACK_SECONDS
    seen: list[str] = []
    while message_id not in seen:
        assert time.monotonic() < deadline, f"{message_id} did not come, only {seen}"
        time.sleep(0.1)
        seen += taken(broker)


def test_two_relays_lose_nothing_and_what_both_publish_acts_once(broker, database):
    stop = threading.Event()
    letters = DeadLetters(fakeredis.FakeRedis(decode_responses=True), system_clock)
    deps = relay.Deps(database, broker.publisher, letters, system_clock)
    with ThreadPoolExecutor(12) as threads:
        relays = [threads.submit(relay.run, deps, stop) for _ in range(2)]
        for start in range(0, 300, 10):
            record(database, *range(start, start + 10))
        deadline = time.monotonic() + BACK_SECONDS
        with database.connect() as connection:
            while outbox.pending(connection, BOX, datetime.now(UTC), 1):
                assert time.monotonic() < deadline
                connection.rollback()
                time.sleep(0.05)
        stop.set()
        for running in relays:
            running.result(10)
        came = taken(broker)
        assert set(came) == {f"evt_{number}" for number in range(300)}
        acted = threads.map(lambda message_id: message_id if act(database, message_id) else None, came * 2)
    counts = Counter(acted)
    del counts[None]
    assert counts == dict.fromkeys(set(came), 1)


def act(database, message_id: str) -> bool:
    with writing(database) as connection:
        return outbox.handle_once(connection, BOX, message_id, datetime.now(UTC))


RELAY = [sys.executable, "-m", "shared.relay"]


def relay_environment(auth_url, otp_url, broker_url):
    return {
        **os.environ,
        "LATCHKEY_ENV": "development",
        "AUTH_DATABASE_URL": auth_url,
        "OTP_DATABASE_URL": otp_url,
        "REDIS_URL": "redis://127.0.0.1:1",
        "BROKER_URL": broker_url,
    }


@contextlib.contextmanager
def relay_process(*urls):
    with subprocess.Popen(RELAY, cwd=ROOT, env=relay_environment(*urls)) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_what_a_broker_lost_with_its_data_comes_again_by_a_command(broker, database, auth_url, running_databases):
    urls = auth_url, running_databases.empty("otp"), broker.url
    with relay_process(*urls):
        record(database, 1, 2)
        wait_for(broker, "evt_2")  # taken from the queue by no worker: it is lost
        time.sleep(1)
        assert taken(broker) == []
        again = subprocess.run([*RELAY, "--again", "5"], cwd=ROOT, env=relay_environment(*urls), check=True)
        assert again.returncode == 0
        wait_for(broker, "evt_2")


def test_a_relay_that_lost_its_broker_or_its_database_goes_on(broker, database, auth_url, postgres, running_databases):
    with relay_process(auth_url, running_databases.empty("otp"), broker.url) as process:
        record(database, 1)
        wait_for(broker, "evt_1")
        broker.server.kill()
        record(database, 2)
        time.sleep(2)
        broker.server.start()
        wait_for(broker, "evt_2")
        broker.server.pause()
        record(database, 3)
        time.sleep(7)  # longer than the relay waits for an answer
        broker.server.resume()
        wait_for(broker, "evt_3")
        postgres[0].kill()
        time.sleep(2)
        postgres[0].start()
        record(database, 4)
        wait_for(broker, "evt_4")
        assert process.poll() is None
