"""The table of users against a real server: what each of them can't do, and that a restart forgets nothing."""

import subprocess
import time

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from deploy.access.redis_acl import password_hash, render
from deploy.access.users import BACKGROUND, HEALTH, OPERATOR, SERVICES
from deploy.local.redis_server import answers_ping, redis_argv
from shared import delivery, health
from shared.clock import system_clock
from shared.dead_letters import DeadLetters
from shared.delivery_scripts import WITHDRAW
from shared.messages import AUTH_EVENTS, EMAIL_NOTICES, OTP_EVENTS, QUEUES
from shared.problems import Unavailable
from shared.queueing import Publisher, make_celery
from shared.queues import read_backlog, read_depths
from shared.redis_notes import notes_of
from shared.redis_sweep import sweep
from shared.sealed_text import SealedText
from shared.secret import Secret
from shared.settings import Environment
from tests.support.consumer import Journal, consumer
from tests.support.free_port import free_port

ALL = (*SERVICES, BACKGROUND)
TAKERS = {queue: user.name for user in SERVICES for queue in user.takes}


def password_of(name):
    return f"password-of-{name}"


class Divided:
    """A server with the users of the table."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.users = folder / "users.acl"
        names = (OPERATOR, *(user.name for user in ALL))
        self.users.write_text(render(ALL, {name: [password_hash(password_of(name))] for name in names}))
        self.process = None

    def start(self):
        self.process = subprocess.Popen(redis_argv(self.folder, self.port, self.users))
        assert answers_ping(self.port, 10, self.process)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def url(self, name, password=None):
        return f"redis://{name}:{password or password_of(name)}@127.0.0.1:{self.port}/0"

    def client(self, name, password=None):
        return Redis.from_url(self.url(name, password), decode_responses=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Divided(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


def test_a_client_without_a_user_gets_nothing_and_the_default_user_is_off(server):
    with Redis(port=server.port) as anybody, pytest.raises(AuthenticationError):
        anybody.ping()
    for password in ("", "x"):
        with (
            Redis(port=server.port, username="default", password=password) as default,
            pytest.raises(AuthenticationError),
        ):
            default.get("auth:session:x")


def test_a_wrong_password_opens_nothing(server):
    with server.client("auth", "guessed") as client, pytest.raises(AuthenticationError):
        client.ping()


def test_the_health_check_asks_without_a_password_and_can_do_nothing_else(server):
    with server.client(HEALTH, "any") as client:
        assert client.ping()
        with pytest.raises(NoPermissionError):
            client.get("auth:session:x")


FOREIGN = {
    "auth": ["otp:sms:a:login", "otp:sms-accepted:a:login", "notify:sealed:m", "budget:otp.verify.login:60:a"],
    "auth-worker": ["otp:sms:a:login", "notify:sealed:m", "notify:delivery:m", "budget:otp.sms.phone:60:a"],
    "otp": ["auth:session:d", "auth:sessions:a", "auth:epoch:a", "auth:challenge:c", "budget:auth.login.ip:60:a"],
    "otp-worker": ["auth:session:d", "auth:epoch:a", "auth:challenge:c", "budget:auth.login.ip:60:a"],
    "notify": [
        *("auth:session:d", "auth:sessions:a", "auth:epoch:a", "auth:challenge:c", "budget:auth.login.ip:60:a"),
        *("otp:sms:a:login", "budget:otp.verify.login:60:a"),
    ],
    "relay": ["auth:session:d", "auth:epoch:a", "otp:sms:a:login", "notify:sealed:m", "budget:auth.login.ip:60:a"],
}


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in FOREIGN.items() for key in keys])
def test_a_service_neither_reads_nor_writes_what_is_another_ones(server, name, key):
    with server.client(name) as client:
        for command in (["GET", key], ["HGETALL", key], ["SET", key, "x"], ["HSET", key, "f", "x"], ["DEL", key]):
            with pytest.raises(NoPermissionError):
                client.execute_command(*command)
        with pytest.raises(NoPermissionError):
            client.eval("return redis.call('SET', KEYS[1], 'x')", 1, key)
        with pytest.raises(ResponseError):
            client.eval(f"return redis.call('SET', '{key}', 'x')", 0)


@pytest.mark.parametrize("name", [user.name for user in ALL])
@pytest.mark.parametrize(
    "command",
    ["KEYS *", "RANDOMKEY", "FLUSHALL", "CONFIG GET *", "ACL LIST", "ACL SETUSER x on", "CLIENT LIST",
     "CLIENT KILL TYPE normal", "CLIENT PAUSE 1", "SHUTDOWN", "SCRIPT FLUSH", "MONITOR",
     "PUBLISH /0.other.pidbox x", "REPLICAOF NO ONE"],
)  # fmt: skip
def test_no_service_looks_around_or_commands_the_server(server, name, command):
    with server.client(name) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command.split())


@pytest.mark.parametrize("user", ALL, ids=lambda user: user.name)
def test_names_of_keys_are_listed_only_where_a_restore_needs_them(server, user):
    with server.client(user.name) as client:
        if user.scans:
            assert client.scan(0, match="otp:*") is not None
            return
        with pytest.raises(NoPermissionError):
            client.scan(0)


@pytest.mark.parametrize("name", ["auth", "otp"])
def test_a_restore_voids_its_own_keys_and_none_of_anothers(server, name):
    own, foreign = f"{name}:left:x", {"auth": "otp:left:y", "otp": "auth:left:y"}[name]
    with server.client(OPERATOR) as operator, server.client(f"{name}-worker") as client:
        operator.mset({own: "x", foreign: "y"})
        sweep(client, f"{name}:*")
        assert (operator.get(own), operator.get(foreign)) == (None, "y")
        with pytest.raises(NoPermissionError):
            sweep(client, foreign)
        operator.delete(foreign)


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("user", SERVICES, ids=lambda user: user.name)
def test_only_the_users_in_the_table_put_on_a_queue_and_only_its_worker_takes_from_it(server, user, queue):
    celery = make_celery("test", Secret(server.url(user.name)), reply_seconds=2.0)
    try:
        if user.on_broker and queue in user.publishes_to:
            Publisher(celery).publish_to(queue, {})
            assert read_depths(celery, [queue])[queue].waiting > 0
        else:
            with pytest.raises(Unavailable):
                Publisher(celery).publish_to(queue, {})
    finally:
        celery.close()
    if TAKERS[queue] == user.name:
        return
    with server.client(user.name) as client:
        for command in (["RPOP", queue], ["LRANGE", queue, 0, -1], ["DEL", queue], ["HGETALL", notes_of(queue)]):
            with pytest.raises(NoPermissionError):
                client.execute_command(*command)


def test_every_queue_has_one_user_that_takes_from_it():
    assert {queue for user in SERVICES for queue in user.takes} == set(QUEUES)
    assert sum(len(user.takes) for user in SERVICES) == len(QUEUES)


def test_the_courier_orders_no_reset_and_the_verifier_ends_no_session():
    """What was seen: a forged `two_factor.reset_approved` on the broker wiped 2FA."""
    puts = {user.name: set(user.publishes_to) for user in SERVICES}
    assert puts["notify"] & {AUTH_EVENTS, OTP_EVENTS} == {AUTH_EVENTS}
    assert puts["auth"] & {AUTH_EVENTS, OTP_EVENTS, EMAIL_NOTICES} == set()


def test_otp_leaves_a_text_and_takes_it_back_but_never_reads_one(server):
    with server.client("otp") as client, client.pipeline(transaction=True) as pipeline:
        now = system_clock()
        text = SealedText("sealed", now, "signature")
        delivery.queue_put(pipeline, "sms_1", text, now=now, ttl=delivery.LEASE, account_id="acc_1")
        pipeline.execute()
        with pytest.raises(NoPermissionError):
            client.get("notify:sealed:sms_1")
        with pytest.raises(ResponseError):
            client.eval("return redis.call('GET', KEYS[1])", 1, "notify:sealed:sms_1")
        assert client.eval(WITHDRAW, 2, "notify:sealed:sms_1", "notify:unsent", "sms_1") == 1


@pytest.mark.parametrize("name", ["auth", "auth-worker", "otp-worker", "notify"])
def test_a_worker_keeps_dead_letters_and_counts_them_but_only_the_relays_user_reads_them(server, name):
    with server.client("relay") as relay:
        relay.delete("dead_letters", "dead_letters:order")
    with server.client(name) as client:
        if name != "auth":
            DeadLetters(client, system_clock).keep(queue="q", task=None, document="x", reason="r", source_id=name)
            assert DeadLetters(client, system_clock).count() == 1
        assert read_backlog(client, system_clock()).dead_letters == (name != "auth")
        with pytest.raises(NoPermissionError):
            client.hgetall("dead_letters")
    with server.client("relay") as relay:
        assert len(DeadLetters(relay, system_clock).all()) == (name != "auth")


def test_the_gateway_shows_a_delivery_and_changes_none(server):
    with server.client("auth") as client:
        assert client.hgetall("notify:delivery:sms_9") == {}
        with pytest.raises(NoPermissionError):
            client.hset("notify:delivery:sms_9", "status", "delivered")


def test_a_worker_takes_messages_and_answers_its_own_health_check_with_the_rights_that_it_has(server, tmp_path):
    journal, url = Journal(tmp_path / "journal"), server.url("otp-worker")
    with server.client(OPERATOR) as operator:
        operator.delete(OTP_EVENTS, notes_of(OTP_EVENTS))
        operator.acl_log_reset()
        with consumer(url, journal, name="celery", queues=OTP_EVENTS):
            celery = make_celery("test", Secret(server.url("relay")))
            Publisher(celery).publish_to(OTP_EVENTS, {"id": "m1", "again": 1, "again_times": 1})
            celery.close()
            journal.wait_for("done", "m1", seconds=60)
            env = Environment({"LATCHKEY_ENV": "development", "REDIS_URL": url})
            assert health.worker(env, system_clock) is None
        assert operator.hlen(notes_of(OTP_EVENTS)) == 0
        assert [(entry["username"], entry["object"]) for entry in operator.acl_log()] == []


def test_no_service_gives_orders_to_anothers_worker(server):
    for user in SERVICES:
        for other in {"auth-worker", "otp-worker", "notify"} - {user.name}:
            with server.client(user.name) as client, pytest.raises(NoPermissionError):
                client.publish(f"/0.{other}.pidbox", "shutdown")


def test_a_restart_forgets_nothing_that_was_written_in_a_transaction(tmp_path):
    """A server replays transactions of its file as the default user, and drops what that one may not do."""
    server = Divided(tmp_path)
    server.start()
    try:
        with server.client("auth") as client, client.pipeline(transaction=True) as pipeline:
            pipeline.set("auth:session:d", "x").hset("auth:sessions:a", "s", "d").execute()
        time.sleep(1.1)  # appendfsync everysec
        server.stop()
        server.start()
        with server.client("auth") as client:
            assert (client.get("auth:session:d"), client.hgetall("auth:sessions:a")) == ("x", {"s": "d"})
    finally:
        server.stop()


def test_a_user_has_two_passwords_while_one_is_changed(tmp_path):
    server = Divided(tmp_path)
    names = (OPERATOR, *(user.name for user in ALL))
    hashes = {name: [password_hash(password_of(name))] for name in names}
    server.start()
    try:
        old = server.client("auth")
        hashes["auth"].append(password_hash("the-next-one"))
        server.users.write_text(render(ALL, hashes))
        server.client(OPERATOR).execute_command("ACL", "LOAD")
        assert old.ping()
        assert server.client("auth").ping()
        assert server.client("auth", "the-next-one").ping()
        hashes["auth"].pop(0)
        server.users.write_text(render(ALL, hashes))
        server.client(OPERATOR).execute_command("ACL", "LOAD")
        assert server.client("auth", "the-next-one").ping()
        with pytest.raises(AuthenticationError):
            server.client("auth").ping()
    finally:
        server.stop()
