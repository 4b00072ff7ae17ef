"""Races run against real servers: what is atomic in a fake proves nothing."""

import pytest

from deploy.local.redis_server import redis_server
from shared.migrations import upgrade
from tests.support.free_port import free_port
from tests.support.postgres import Databases, postgres_server


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
