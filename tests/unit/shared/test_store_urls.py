"""Which servers a URL may name, in which role, and what Celery is told about each."""

import ssl

import pytest

from shared.brokers import VISIBILITY_TIMEOUT_SECONDS, broker_of
from shared.messages import QUEUES
from shared.queueing import make_celery
from shared.secret import Secret
from shared.settings import Environment, Sentinels, SettingsError, StoreSettings

REDIS = "redis://127.0.0.1:6379/0"


def read(**variables):
    env = Environment({"REDIS_URL": REDIS, **variables})
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


def test_no_queues_name_ends_in_anothers():
    """RabbitMQ's delayed delivery finds a queue by the end of the routing key."""
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
