"""A Redis of its own for each file that asks for one."""

import pytest

from tests.support.redis_process import redis_process


@pytest.fixture(scope="module")
def running():
    with redis_process() as running:
        yield running


@pytest.fixture
def server(running):
    return running[0]
