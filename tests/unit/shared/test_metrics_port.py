"""The port of the metrics, over real sockets."""

import socket

import pytest
import urllib3
from prometheus_client import CollectorRegistry, Counter

from deploy.portal import wait_for
from shared import metrics_port
from shared.metrics_port import MetricsPort
from shared.settings import Environment, SettingsError
from tests.support.free_port import free_port


@pytest.fixture
def registry():
    registry = CollectorRegistry()
    Counter("latchkey_tests", "Tests.", registry=registry).inc()
    return registry


def scraped(where):
    host = f"[{where.host}]" if ":" in where.host else where.host
    try:
        answer = urllib3.request("GET", f"http://{host}:{where.port}/metrics", retries=False, timeout=10)
    except urllib3.exceptions.HTTPError:
        return None
    return answer.status == 200 and "latchkey_tests_total 1.0" in answer.data.decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_of_its_own_shows_what_is_counted(registry, host):
    where = MetricsPort(host, free_port())
    metrics_port.serve(registry, where)
    assert wait_for(lambda: scraped(where))


def test_a_port_that_is_taken_is_used_as_soon_as_it_is_free(registry):
    with socket.socket() as predecessor:
        predecessor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        predecessor.bind(("127.0.0.1", 0))
        predecessor.listen()
        where = MetricsPort("127.0.0.1", predecessor.getsockname()[1])
        metrics_port.serve(registry, where, retry_seconds=0.05)
    assert wait_for(lambda: scraped(where))


def test_a_silent_client_holds_the_port_for_a_moment_only(registry):
    where = MetricsPort("127.0.0.1", free_port())
    metrics_port.serve(registry, where)
    assert wait_for(lambda: scraped(where))
    with socket.create_connection((where.host, where.port)) as silent:
        silent.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert scraped(where)


def test_without_a_port_nothing_is_shown():
    assert metrics_port.from_environment(Environment({})) is None
    assert metrics_port.from_environment(Environment({"METRICS_HOST": "10.0.0.1"})) is None


def test_the_port_is_on_loopback_unless_said_otherwise():
    assert metrics_port.from_environment(Environment({"METRICS_PORT": "9464"})) == MetricsPort("127.0.0.1", 9464)
    given = Environment({"METRICS_PORT": "9464", "METRICS_HOST": "0.0.0.0"})  # noqa: S104
    assert metrics_port.from_environment(given) == MetricsPort("0.0.0.0", 9464)  # noqa: S104


@pytest.mark.parametrize("text", ["0", "65536", "x", "-1"])
def test_what_is_no_port_is_a_fault(text):
    env = Environment({"METRICS_PORT": text})
    metrics_port.from_environment(env)
    with pytest.raises(SettingsError, match="METRICS_PORT"):
        env.done()
