"""Which servers a URL may name, in which role, and what Celery is told about each."""

import ssl

import pytest

from shared.brokers import VISIBILITY_TIMEOUT_SECONDS, broker_of, waiting_queue
from shared.messages import QUEUES
from shared.queueing import make_celery
from shared.secret import Secret
from shared.settings import Environment, SettingsError, StoreSettings
from shared.store_urls import Sentinels

REDIS = "redis://127.0.0.1:6379/0"


def read(**variables):
    env = Environment({"LATCHKEY_ENV": "development", "REDIS_URL": REDIS, **variables})
    stores = StoreSettings.read(env)
    env.done()
    return stores


@pytest.mark.parametrize(
    "url", [REDIS, "rediss://:pw@r:6380/1?ssl_ca_certs=/ca.pem", "sentinel://s1,s2/main", "sentinel://s1:1/main/3"]
)
def test_redis_in_all_its_kinds_serves_both_roles(url):
    stores = read(STATE_REDIS_URL=url, BROKER_URL=url)
    assert (stores.state_url.reveal(), stores.broker_url.reveal()) == (url, url)


@pytest.mark.parametrize(
    "url", ["amqp://guest:pw@mq//", "amqps://mq/v?ssl_ca_certs=/ca.pem", "amqp://a:1;amqp://:pw@b:2"]
)
def test_rabbitmq_is_a_broker_and_no_state(url):
    assert read(BROKER_URL=url).broker_url.reveal() == url
    with pytest.raises(SettingsError, match="STATE_REDIS_URL must begin with one of redis://"):
        read(STATE_REDIS_URL=url)


@pytest.mark.parametrize("name", ["STATE_REDIS_URL", "BROKER_URL", "REDIS_URL"])
@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "http://hunter2",
        "redis:hunter2",
        "sentinel://hunter2",
        "sentinel://:hunter/2@s/main",
        "sentinel:///m",
        "sentinel://s:hunter2/m",
        "sentinel://s/m/hunter2",
    ],
)
def test_what_no_server_is_reached_by_is_a_fault_that_shows_no_value(name, url):
    with pytest.raises(SettingsError) as error:
        read(**{name: url})
    assert name in str(error.value)
    assert "hunter" not in str(error.value)


def test_the_parts_of_a_sentinel_url():
    sentinels = Sentinels.parse("sentinel://us%40er:p%2Fw@s1:7000,s2,[::1]:7001/main/3")
    assert sentinels.hosts == (("s1", 7000), ("s2", 26379), ("::1", 7001))
    assert (sentinels.master, sentinels.db, sentinels.username) == ("main", 3, "us@er")
    assert sentinels.password.reveal() == "p/w"
    assert Sentinels.parse("sentinel://s1/main").password is None


def test_celery_is_told_of_every_sentinel_and_of_the_master():
    conf = make_celery("test", Secret("sentinel://:p%2Fw@s1:7000,s2/main/3")).conf
    assert conf.broker_url == "sentinel://:p%2Fw@s1:7000/3;sentinel://:p%2Fw@s2:26379/3"
    assert conf.broker_transport_options["master_name"] == "main"
    assert conf.broker_transport_options["visibility_timeout"] == VISIBILITY_TIMEOUT_SECONDS


@pytest.mark.parametrize("url", ["sentinel://s1,s2/main", "amqp://mq1//;amqp://mq2//"])
def test_whoever_turns_to_the_next_broker_of_its_url_loses_no_message_there_either(url):
    connection = make_celery("test", Secret(url)).connection_for_write()
    before = type(connection.transport)
    connection.maybe_switch_next()
    assert type(connection.transport) is before
    assert before.__module__.startswith("shared.")


@pytest.mark.parametrize("url", ["amqps://mq/", "rediss://r/0"])
def test_a_certificate_is_always_checked(url):
    assert ssl.CERT_REQUIRED in broker_of(url, 1.0).tls.values()


def test_on_rabbitmq_every_queue_is_a_quorum_queue_and_every_publish_is_confirmed():
    conf = make_celery("test", Secret("amqp://mq//"), reply_seconds=1.5).conf
    assert {queue.name for queue in conf.task_queues} == set(QUEUES)
    assert {queue.queue_arguments["x-queue-type"] for queue in conf.task_queues} == {"quorum"}
    assert {queue.exchange.type for queue in conf.task_queues} == {"topic"}
    assert conf.broker_transport_options["confirm_publish"] is True
    assert conf.broker_transport_options["read_timeout"] == 1.5


def test_on_rabbitmq_every_queue_has_an_exchange_of_its_own_whose_name_no_queue_has():
    queues = make_celery("test", Secret("amqp://mq//")).conf.task_queues
    exchanges = {queue.exchange.name for queue in queues}
    assert len(exchanges) == len(QUEUES)
    assert not exchanges & {*QUEUES, *(waiting_queue(queue, seconds) for queue in QUEUES for seconds in range(1, 6))}


def test_no_queues_name_ends_in_anothers():
    """``queue_of`` finds a queue by the end of the routing key."""
    assert not [(one, other) for one in QUEUES for other in QUEUES if one != other and one.endswith(f".{other}")]


@pytest.mark.parametrize("name", ["STATE_REDIS_URL", "BROKER_URL", "REDIS_URL"])
@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter/2@r:6379/0",  # a client would name "hunter" as a port that is none
        "redis://u:hunter#2@r/0",
        "rediss://[hunter/0",
        "redis://r:hunter2/0",
        "redis://r/0?db=hunter2",
    ],
)
def test_a_password_that_is_not_quoted_is_a_fault_at_the_start_and_not_shown(name, url):
    with pytest.raises(SettingsError, match=f"{name} must be .*percent-encoded") as error:
        read(**{name: url})
    assert "hunter" not in str(error.value)


def test_a_broker_behind_several_addresses_is_read_address_by_address():
    with pytest.raises(SettingsError, match="BROKER_URL"):
        read(BROKER_URL="amqp://a:5672;amqp://:hunter/2@b")


def faults_of(url, *, role="STATE_REDIS_URL", private=""):
    """What production says of one URL, while all else is right."""
    right = {"REDIS_URL": "redis://auth:pw@127.0.0.1:6379/0", "LATCHKEY_ENV": "production"}
    env = Environment({**right, role: url, "PRIVATE_NETWORK": private})
    StoreSettings.read(env)
    try:
        env.done()
    except SettingsError as error:
        return str(error)
    return ""


NO_PASSWORD = "must hold a password in production"
NO_TLS = "must use TLS off loopback in production"


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "rediss://r:6380/1",
        "redis://auth@127.0.0.1",
        "redis://:@127.0.0.1",
        "sentinel://127.0.0.1/m",
    ],
)
def test_production_takes_no_redis_without_a_password(url):
    assert f"STATE_REDIS_URL {NO_PASSWORD}" in faults_of(url, private="redis")


@pytest.mark.parametrize(
    "url",
    ["amqp://127.0.0.1//", "amqps://mq//", "amqp://auth@127.0.0.1//", "amqp://a:pw@127.0.0.1//;amqp://a@127.0.0.1//"],
)
def test_production_takes_no_broker_without_a_password_not_even_as_its_second(url):
    assert f"BROKER_URL {NO_PASSWORD}" in faults_of(url, role="BROKER_URL", private="broker")


@pytest.mark.parametrize(
    ("role", "url", "part"),
    [
        ("STATE_REDIS_URL", "redis://auth:pw@redis:6379/0", "redis"),
        ("STATE_REDIS_URL", "sentinel://auth:pw@s1,s2/main", "redis"),
        ("STATE_REDIS_URL", "redis://auth:pw@10.0.0.2", "redis"),
        ("BROKER_URL", "redis://auth:pw@redis:6379/0", "broker"),
        ("BROKER_URL", "amqp://auth:pw@mq//", "broker"),
        ("BROKER_URL", "amqp://auth:pw@127.0.0.1//;amqp://auth:pw@mq//", "broker"),
    ],
)
def test_production_requires_tls_off_loopback_unless_a_setting_names_a_private_network(role, url, part):
    assert f"{role} {NO_TLS}" in faults_of(url, role=role)
    other = {"redis": "broker", "broker": "redis"}[part]
    assert f"{role} {NO_TLS}" in faults_of(url, role=role, private=other)
    assert faults_of(url, role=role, private=f"{other}, {part}") == ""


@pytest.mark.parametrize(
    "url", ["redis://a:pw@127.0.0.1", "redis://a:pw@[::1]:6379", "redis://a:pw@localhost", "rediss://a:pw@redis"]
)
def test_loopback_and_tls_need_no_word_on_the_network(url):
    assert faults_of(url) == ""


UNCHECKED = [
    "ssl_cert_reqs=none",
    "ssl_cert_reqs=optional",
    "ssl_cert_reqs=",
    "ssl_cert_reqs=required&ssl_cert_reqs=none",
    "%73sl_cert_reqs=none",
    "ssl_check_hostname=false",
    "ssl_check_hostname=0",
    "ssl_ca_certs=/ca.pem&ssl_check_hostname=no",
    "ssl_ciphers=aNULL",
    "ssl_min_version=768",
    "ssl_exclude_verify_flags=VERIFY_X509_STRICT",
    "ssl=false",
]


@pytest.mark.parametrize("query", UNCHECKED)
@pytest.mark.parametrize(
    ("role", "url", "part"),
    [
        ("STATE_REDIS_URL", "rediss://a:pw@redis/0", "redis"),
        ("BROKER_URL", "rediss://a:pw@redis/0", "broker"),
        ("BROKER_URL", "amqps://a:pw@mq//", "broker"),
    ],
)
def test_tls_whose_checks_are_turned_off_is_none(role, url, part, query):
    said = faults_of(f"{url}?{query}", role=role)
    assert f"{role} {NO_TLS}" in said
    assert query.partition("=")[2] == "" or query not in said
    assert faults_of(f"{url}?{query}", role=role, private=part) == ""


@pytest.mark.parametrize(
    "query",
    [
        "ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
        "ssl_cert_reqs=required&ssl_check_hostname=true",
        "health_check_interval=5",
    ],
)
def test_tls_may_name_its_files_and_say_that_it_checks(query):
    assert faults_of(f"rediss://a:pw@redis/0?{query}") == ""


def test_every_address_of_a_broker_needs_its_own_tls():
    assert NO_TLS in faults_of("amqps://a:pw@mq1//;amqp://a:pw@mq2//", role="BROKER_URL")
    assert faults_of("amqps://a:pw@mq1//;amqps://a:pw@mq2//", role="BROKER_URL") == ""
    assert faults_of("amqps://a:pw@mq1//;amqp://a:pw@127.0.0.1//", role="BROKER_URL") == ""


def database_faults(url, private="", mode="production"):
    """What a service says of one database URL."""
    env = Environment({"URL": url, "PRIVATE_NETWORK": private, "LATCHKEY_ENV": mode})
    assert env.database_url("URL") == url
    try:
        env.done()
    except SettingsError as error:
        return str(error)
    return ""


POSTGRES = "postgresql+psycopg://auth:hunter2@db.example/auth"


@pytest.mark.parametrize(
    "url",
    [
        POSTGRES,
        *(f"{POSTGRES}?sslmode={mode}" for mode in ("disable", "allow", "prefer", "require", "verify-ca", "")),
        f"{POSTGRES}?sslmode=verify-full&sslmode=disable",
        f"{POSTGRES}?ssl=true",
        "postgresql+psycopg://auth:hunter2@/auth?host=db.example",
        "postgresql+psycopg://auth:hunter2@127.0.0.1/auth?host=db.example:5432",
        "postgresql+psycopg://auth:hunter2@/auth?host=127.0.0.1,db.example",
        "postgresql+psycopg://auth:hunter2@127.0.0.1/auth?hostaddr=192.0.2.7",
        "postgresql+psycopg://auth:hunter2@/auth?service=main",
    ],
)
def test_production_takes_no_postgresql_off_loopback_without_tls_that_checks_it(url):
    said = database_faults(url)
    assert said.startswith(f"settings: URL {NO_TLS}")
    assert "sslmode=verify-full" in said
    assert "hunter" not in said
    assert "db.example" not in said
    assert database_faults(url, private="database") == database_faults(url, mode="development") == ""
    assert database_faults(url, private="redis,broker,otp") == said


@pytest.mark.parametrize(
    "url",
    [
        f"{POSTGRES}?sslmode=verify-full&sslrootcert=/ca.pem",
        "postgresql+psycopg://auth:hunter2@127.0.0.1:5432/auth",
        "postgresql+psycopg://auth:hunter2@[::1]/auth",
        "postgresql+psycopg://auth:hunter2@localhost/auth",
        "postgresql+psycopg:///auth",
        "postgresql+psycopg://auth@/auth?host=/run/postgresql",
        "sqlite:////var/lib/auth.sqlite3",
    ],
)
def test_a_database_on_this_machine_or_behind_checked_tls_is_taken(url):
    assert database_faults(url) == ""


@pytest.mark.parametrize("url", ["postgresql://a:hunter/2@db/auth", "postgresql://[hunter/auth"])
def test_a_database_url_that_is_not_quoted_is_a_fault_that_shows_no_value(url):
    said = database_faults(url)
    assert "percent-encoded" in said
    assert "hunter" not in said


def test_a_url_with_two_faults_says_both_and_shows_no_value():
    said = faults_of("redis://planted.example/0")
    assert NO_PASSWORD in said
    assert NO_TLS in said
    assert "planted" not in said


def test_development_takes_what_production_does_not():
    assert (
        read(STATE_REDIS_URL="redis://redis:6379", BROKER_URL="amqp://mq//").state_url.reveal() == "redis://redis:6379"
    )


def test_a_part_that_there_is_not_is_a_fault():
    assert "PRIVATE_NETWORK must list parts out of redis, broker, otp, database, smtp" in faults_of(
        "redis://a:pw@redis", private="all"
    )


def test_a_fault_of_a_url_that_serves_both_roles_is_said_once():
    assert faults_of("redis://redis", role="REDIS_URL").count(NO_PASSWORD) == 1
