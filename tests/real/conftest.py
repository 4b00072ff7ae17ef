"""Servers as a production has them, thrown away afterwards: PostgreSQL, RabbitMQ, Redis."""

import contextlib
from dataclasses import dataclass

import pytest
from celery import Celery

from shared.queueing import Publisher, make_celery
from shared.queues import read_depths
from shared.secret import Secret
from tests.support.consumer import Journal, consumer
from tests.support.postgres import Databases, postgres_server
from tests.support.rabbitmq import rabbitmq_server
from tests.support.redis_process import redis_process
from tests.support.server import Server

CALLER_SECONDS = 1.5  # how long the gateway waits for the broker's answer


@dataclass
class Broker:
    """A broker that runs, and what a test does with it."""

    server: Server
    url: str
    journal: Journal
    publisher: Publisher
    patient: Celery  # for what a test does with the queues itself, which may take longer than a caller waits

    def publish(self, queue: str, **document) -> None:
        self.publisher.publish_to(queue, document)

    def waiting(self, queue: str) -> int:
        """Messages that nobody has taken."""
        return read_depths(self.patient, [queue])[queue].waiting

    def consumer(self, **options):
        """A worker process of its own."""
        return consumer(self.url, self.journal, **options)


@pytest.fixture(scope="session")
def rabbitmq():
    with rabbitmq_server() as running:
        yield running


@pytest.fixture(scope="session")
def redis_broker():
    with redis_process() as running:
        yield running


@pytest.fixture(scope="session")
def postgres():
    with postgres_server(pip_first=False) as running:
        yield running


@pytest.fixture(scope="session")
def databases(postgres):
    return Databases(postgres[1])


@pytest.fixture(params=["redis_broker", "rabbitmq"], ids=["redis", "rabbitmq"])
def broker(request, tmp_path):
    """Each kind of broker in turn, with empty queues."""
    server, url = request.getfixturevalue(request.param)
    if not server.answers():
        server.start()
    celery = make_celery("test", Secret(url), reply_seconds=CALLER_SECONDS)
    patient = make_celery("patient", Secret(url))
    with patient.connection_for_write() as connection:
        for queue in patient.amqp.queues.values():
            bound = queue(connection.default_channel)
            bound.declare()
            bound.purge()
        if "redis" in url:  # what another test's worker had in hand would come back
            connection.default_channel.client.flushdb()
    yield Broker(server, url, Journal(tmp_path / "journal"), Publisher(celery), patient)
    for app in (celery, patient):
        with contextlib.suppress(OSError):
            app.close()
    server.resume()
