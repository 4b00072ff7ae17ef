"""Races run against real servers: what is atomic in a fake proves nothing."""

from contextlib import ExitStack

import pytest

from deploy.local.redis_server import redis_server
from services.auth.deps import Deps
from shared.database import create_database
from shared.messages import AUTH
from shared.migrations import upgrade
from shared.redis_client import connect
from shared.secret import Secret
from tests.support import auth
from tests.support.auth import ListPublisher, TurnedClock
from tests.support.free_port import free_port
from tests.support.postgres import Databases, postgres_server
from tests.support.signing import SIGNERS


@pytest.fixture(scope="session")
def real_redis_url(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis"), free_port()) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_databases():
    with postgres_server() as (_, url):
        yield Databases(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request, tmp_path):
    """Makes a service's database, on one machine's kind of server and on the other; gives its URL."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_databases").empty

    def make(service):
        url = f"sqlite:///{tmp_path}/{service}.sqlite3"
        upgrade(service, url)
        return url

    return make


@pytest.fixture
def gateway(real_redis_url, new_database):
    """Makes the gateway's dependencies over these servers, with an otp in memory of this kind and this hashing pool."""
    with ExitStack() as opened:

        def make(kind_of_otp, hashing):
            database, redis, clock = (
                create_database(new_database("auth")),
                connect(Secret(real_redis_url)),
                TurnedClock(),
            )
            opened.callback(database.dispose)
            opened.callback(redis.close)
            redis.flushall()
            return Deps(
                settings=auth.settings(),
                database=database,
                redis=redis,
                otp=kind_of_otp(clock),
                publisher=ListPublisher(),
                hashing=hashing,
                clock=clock,
                signer=SIGNERS[AUTH],
            )

        yield make
