import socket

import pytest

from deploy.local.ports import free_port, is_free
from deploy.local.run import StartError, refuse_taken_ports
from deploy.local.settings import LocalSettings


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", free_port()))
        listener.listen()
        yield listener.getsockname()[1]


def test_free_ports_are_free_below_32768_and_in_a_row():
    port = free_port(5)
    assert port + 4 < 32768
    assert all(is_free("127.0.0.1", candidate) for candidate in range(port, port + 5))


def test_a_port_that_somebody_listens_on_is_not_free(taken):
    assert not is_free("127.0.0.1", taken)


NAMES = ("PORT", "OTP_PORT", "REDIS_PORT", "METRICS_PORT", "OTP_METRICS_PORT")


@pytest.mark.parametrize("name", NAMES)
def test_a_taken_port_is_refused_by_number_and_setting(taken, name):
    base = free_port(5)
    ports = {one: str(base + number) for number, one in enumerate(NAMES)} | {name: str(taken)}
    with pytest.raises(StartError) as error:
        refuse_taken_ports(LocalSettings.from_env(ports))
    assert f"port {taken} on 127.0.0.1 is taken" in str(error.value)
    assert f"Set {name} to a free one" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_redis_port_does_not_matter_when_redis_is_somewhere_else(taken):
    base = free_port(5)
    environ = {"PORT": str(base), "REDIS_PORT": str(taken), "REDIS_URL": "redis://elsewhere"}
    refuse_taken_ports(LocalSettings.from_env(environ))
