"""Redis over TLS, RabbitMQ over TLS, and Redis behind sentinels: as broker and as state, by their URLs."""

import contextlib
import shutil
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from deploy.local.redis_server import redis_argv, redis_executable
from shared.messages import AUTH_EVENTS
from shared.problems import Unavailable
from shared.queueing import Publisher, make_celery
from shared.redis_client import connect
from shared.secret import Secret
from tests.support.certificates import make_certificates
from tests.support.consumer import Journal, consumer
from tests.support.free_port import free_port
from tests.support.rabbitmq import rabbitmq_server
from tests.support.redis_process import redis_process
from tests.support.server import Server, no_server

pytestmark = pytest.mark.timeout(180)

MASTER = "latchkey"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def others_certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("others"))


def publish_and_consume(url: str, tmp_path: Path, message_id: str = "evt_1") -> None:
    journal = Journal(tmp_path / "journal")
    Publisher(make_celery("test", Secret(url), reply_seconds=1.5)).publish_to(AUTH_EVENTS, {"id": message_id})
    with consumer(url, journal):
        journal.wait_for("done", message_id)
    # The first worker of all serves two queues; those of workers that have not come yet are no reason to complain.
    log = journal.path.with_name("one.log").read_text()
    assert "CRITICAL" not in log
    assert "ERROR" not in log


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls_redis(tmp_path_factory, certificates):
    executable = next((path for name in ("redis-server", "valkey-server") if (path := shutil.which(name))), None)
    if executable is None:
        no_server("no Redis server with TLS: install one (Debian: apt-get install redis-server)")
    folder, port = tmp_path_factory.mktemp("tls"), free_port()

    def answers():
        client = Redis(
            host="127.0.0.1", port=port, ssl=True, ssl_ca_certs=str(certificates.authority), socket_timeout=1
        )
        with contextlib.suppress(RedisError), client:
            return client.ping()
        return False

    server = Server(
        name="Redis with TLS",
        argv=[
            *(executable, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--tls-cert-file", str(certificates.certificate), "--tls-key-file", str(certificates.key)),
            *("--tls-ca-cert-file", str(certificates.authority), "--tls-auth-clients", "no", "--save", ""),
        ],
        answers=answers,
        log=folder / "server.log",
    )
    server.start()
    yield f"rediss://127.0.0.1:{port}/0"
    server.stop()


def test_redis_over_tls_serves_as_broker_and_as_state(tls_redis, certificates, tmp_path):
    url = f"{tls_redis}?ssl_ca_certs={certificates.authority}"
    publish_and_consume(url, tmp_path)
    with connect(Secret(url)) as state:
        assert state.set("key", "value")
        assert state.get("key") == "value"


def test_a_redis_that_nobody_vouches_for_is_not_talked_to(tls_redis, others_certificates):
    for url in (tls_redis, f"{tls_redis}?ssl_ca_certs={others_certificates.authority}"):
        with pytest.raises(Unavailable):
            Publisher(make_celery("test", Secret(url))).publish_to(AUTH_EVENTS, {"id": "evt_1"})
        with connect(Secret(url)) as state, pytest.raises(RedisConnectionError):
            state.get("key")


@pytest.fixture(scope="module")
def tls_rabbitmq(certificates):
    with rabbitmq_server(certificates) as (_, url):
        yield url


def test_rabbitmq_over_tls_serves_as_broker(tls_rabbitmq, certificates, tmp_path):
    publish_and_consume(f"{tls_rabbitmq}?ssl_ca_certs={certificates.authority}", tmp_path)


def test_a_rabbitmq_that_nobody_vouches_for_is_not_talked_to(tls_rabbitmq, certificates, others_certificates):
    by_another_name = tls_rabbitmq.replace("127.0.0.1", "127.1")  # the same address, but not in the certificate
    for url in (
        tls_rabbitmq,
        f"{tls_rabbitmq}?ssl_ca_certs={others_certificates.authority}",
        f"{by_another_name}?ssl_ca_certs={certificates.authority}",
    ):
        with pytest.raises(Unavailable):
            Publisher(make_celery("test", Secret(url))).publish_to(AUTH_EVENTS, {"id": "evt_1"})


# --- sentinels --------------------------------------------------------------------------------------------------------


@pytest.fixture
def sentinels(tmp_path):
    """A master, its replica and a sentinel that makes the replica master when the master is away for a second."""
    with redis_process() as (master, url), contextlib.ExitStack() as servers:
        master_port, replica_port, port = int(url.split(":")[2].split("/")[0]), free_port(), free_port()
        replica_folder = tmp_path / "replica"
        replica_folder.mkdir()
        replica = Server(
            name="Redis replica",
            argv=[*redis_argv(replica_folder, replica_port), "--replicaof", "127.0.0.1", str(master_port)],
            answers=lambda: _info(replica_port).get("master_link_status") == "up",
            log=replica_folder / "server.log",
        )
        configuration = tmp_path / "sentinel.conf"
        configuration.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor {MASTER} 127.0.0.1 {master_port} 1\n"
            f"sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 5000\n"
        )
        sentinel = Server(
            name="Redis sentinel",
            argv=[redis_executable(), str(configuration), "--sentinel"],
            answers=lambda: _knows_the_replica(port),
            log=tmp_path / "sentinel.log",
        )
        for server in (replica, sentinel):
            server.start()
            servers.callback(server.stop)
        yield master, f"sentinel://127.0.0.1:{port},127.0.0.1:1/{MASTER}"


def _info(port: int) -> dict:
    with contextlib.suppress(RedisError), Redis(host="127.0.0.1", port=port, socket_timeout=1) as client:
        return client.info("replication")
    return {}


def _knows_the_replica(port: int) -> bool:
    with (
        contextlib.suppress(RedisError),
        Redis(host="127.0.0.1", port=port, socket_timeout=1, decode_responses=True) as client,
    ):
        return any(one["flags"] == "slave" for one in client.sentinel_slaves(MASTER))
    return False


def within(seconds: float, action, errors) -> float:
    started = time.monotonic()
    while True:
        try:
            action()
        except errors:
            assert time.monotonic() - started < seconds
            time.sleep(0.2)
        else:
            return time.monotonic() - started


def test_behind_sentinels_broker_and_state_follow_the_master(sentinels, tmp_path):
    master, url = sentinels
    journal = Journal(tmp_path / "journal")
    publisher = Publisher(make_celery("test", Secret(url), reply_seconds=1.5))
    with connect(Secret(url)) as state, consumer(url, journal):
        state.set("key", "value")
        publisher.publish_to(AUTH_EVENTS, {"id": "evt_before"})
        journal.wait_for("done", "evt_before")
        master.kill()
        within(30, lambda: state.set("key", "new"), RedisError)
        within(30, lambda: publisher.publish_to(AUTH_EVENTS, {"id": "evt_after"}), Unavailable)
        journal.wait_for("done", "evt_after", seconds=45)
        assert state.get("key") == "new"
