"""Races run against a real server: what is atomic in a fake proves nothing."""

import pytest

from deploy.local.redis_server import redis_server
from tests.support.free_port import free_port


@pytest.fixture(scope="session")
def real_redis_url(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis"), free_port()) as url:
        yield url
