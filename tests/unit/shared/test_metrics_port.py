"""The port of the metrics, over real sockets."""

import socket
import threading
from contextlib import ExitStack

import psutil
import pytest
import urllib3
from prometheus_client import CollectorRegistry, Counter

from deploy.portal import wait_for
from shared import metrics_port
from shared.metrics_port import Limits, MetricsPort
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


# --- slow clients -----------------------------------------------------------------------------------------------------

HALVES = {
    "nothing": b"",
    "half a head": b"GET /metrics HTTP/1.1\r\nHost: x\r\n",
    "a head without its end": b"GET /metrics HTTP/1.1\r\n" + b"X-Name: value\r\n" * 500,
}
CONNECTIONS = 200


@pytest.fixture
def large(registry):
    """Metrics that no socket's buffer holds."""
    counter = Counter("latchkey_large", "Large.", ["name"], registry=registry)
    for number in range(10):
        counter.labels(f"{number}{'x' * 100_000}").inc()


@pytest.fixture
def shown(registry):
    def show(limits):
        where = MetricsPort("127.0.0.1", free_port())
        metrics_port.serve(registry, where, limits)
        assert wait_for(lambda: scraped(where))
        return where

    return show


@pytest.fixture
def slow():
    """Open connections that send so much and then nothing, and read nothing."""
    with ExitStack() as lines:

        def opened(where, sent, count=CONNECTIONS):
            made = []
            for _ in range(count):
                line = lines.enter_context(socket.socket())
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                line.settimeout(30)
                line.connect((where.host, where.port))
                line.sendall(sent)
                made.append(line)
            return made

        yield opened


def held(where):
    """The connections of this process that the port has accepted and not ended."""
    mine = [one for one in psutil.Process().net_connections("tcp") if one.laddr and one.laddr.port == where.port]
    return sum(one.status == psutil.CONN_ESTABLISHED and one.fd != -1 for one in mine)


@pytest.mark.usefixtures("large")
def test_clients_that_do_not_read_hold_few_connections_and_are_ended(shown, slow):
    where = shown(Limits(connections=16, client_seconds=4))
    lines = slow(where, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", count=24)
    assert scraped(where)
    assert wait_for(lambda: held(where) == 0)
    assert len(lines) == 24


@pytest.mark.parametrize("half", HALVES)
def test_slow_clients_stop_no_scrape_and_hold_no_threads_and_few_connections(shown, slow, half):
    where = shown(Limits(connections=16, client_seconds=3600))
    threads = threading.active_count()
    lines = slow(where, HALVES[half])
    assert scraped(where)
    assert threading.active_count() == threads
    assert wait_for(lambda: held(where) <= 16)
    assert len(lines) == CONNECTIONS


@pytest.mark.parametrize("half", HALVES)
def test_each_slow_client_is_ended_when_its_time_is_over(shown, slow, half):
    where = shown(Limits(connections=CONNECTIONS + 1, client_seconds=0.5))
    slow(where, HALVES[half], count=20)
    assert wait_for(lambda: held(where) == 0)


def test_bytes_that_come_one_by_one_win_no_time(shown, slow):
    where = shown(Limits(client_seconds=0.5))
    (line,) = slow(where, b"GET /metrics HTTP/1.1\r\nX: ", count=1)

    def is_refused():
        try:
            line.sendall(b"x")
        except OSError:
            return True
        return False

    assert wait_for(is_refused)


def test_a_head_that_comes_in_parts_is_answered(shown, slow):
    where = shown(metrics_port.LIMITS)
    (line,) = slow(where, b"GET /metrics HTTP/1.0\r\nHo", count=1)
    line.sendall(b"st: x\r\n\r")
    line.sendall(b"\n")
    answer = b"".join(iter(lambda: line.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"latchkey_tests_total 1.0" in answer


def test_a_head_that_has_no_end_is_cut(shown, slow):
    where = shown(Limits(client_seconds=3600))
    (line,) = slow(where, b"GET /metrics HTTP/1.1\r\n", count=1)
    with pytest.raises(OSError, match=r"reset|pipe"):
        line.sendall(b"X-Name: value\r\n" * 1_000_000)
    assert scraped(where)


def test_the_time_of_a_client_is_over_within_ten_seconds():
    assert metrics_port.LIMITS.client_seconds < 10
    assert metrics_port.LIMITS.connections < CONNECTIONS


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"nonsense\r\n\r\n", b"400"), (b"DELETE /metrics HTTP/1.1\r\n\r\n", b"405"), (b"GET / HTTP/9.9\r\n\r\n", b"505")],
)
def test_what_is_no_scrape_is_refused_and_the_next_one_goes_on(shown, slow, sent, status):
    where = shown(metrics_port.LIMITS)
    (line,) = slow(where, sent, count=1)
    assert status in b"".join(iter(lambda: line.recv(65536), b""))
    assert scraped(where)


def test_metrics_that_cannot_be_read_end_the_scrape_and_not_the_port(registry, shown):
    class Broken:
        down = True

        def collect(self):
            if self.down:
                raise RuntimeError("no store")
            return []

    where = shown(metrics_port.LIMITS)
    broken = Broken()
    broken.down = False
    registry.register(broken)
    broken.down = True
    assert not scraped(where)
    broken.down = False
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
