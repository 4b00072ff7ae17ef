"""The stack of test_stack.py, started again with RabbitMQ between its parts. From top to bottom, too.

That `make down` takes RabbitMQ along, which no setting names then, is asserted where the session's stack ends.
"""

import json
from dataclasses import replace

import pytest

from services.notify.tasks import CONSUMERS
from tests.compose import test_stack as on_redis

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def stack(stack):
    stack = replace(stack, settings={"COMPOSE_PROFILES": "rabbitmq", "BROKER": "rabbitmq"})
    stack.make("up")
    return stack


@pytest.mark.parametrize(
    "same",
    [
        on_redis.test_every_part_is_healthy_and_every_preparation_is_done,
        on_redis.test_containers_run_without_root_without_capabilities_and_on_a_read_only_root,
        on_redis.test_no_secret_stands_in_the_environment_of_a_container,
        on_redis.test_only_the_gateway_is_published_and_on_loopback_alone,
        on_redis.test_the_private_network_reaches_nothing_outside,
        on_redis.test_the_story_is_played_against_the_containers,
        on_redis.test_a_worker_killed_with_9_while_it_sends_loses_no_code_and_comes_back,
    ],
    ids=lambda test: test.__name__.removeprefix("test_"),
)
def test_as_on_redis(stack, same):
    same(stack)


def test_every_queue_is_in_rabbitmq_and_somebody_takes_from_it(stack):
    ask = ("rabbitmqctl", "--quiet", "--formatter=json", "list_queues", "name", "consumers")
    listed = json.loads(stack.run("docker", "exec", stack.containers("rabbitmq")[0]["Id"], *ask).stdout)
    taken_from = {queue["name"] for queue in listed if queue["consumers"]}
    assert taken_from >= {*CONSUMERS, "auth.events", "otp.events"}


def test_workers_that_are_added_take_from_the_broker_that_runs_whatever_the_callers_settings_say(stack):
    replace(stack, settings={}).make("scale-sms", "N=3")
    workers = stack.containers("notify")
    assert ["BROKER=rabbitmq" in worker["Config"]["Env"] for worker in workers] == [True] * 3


ASK_RABBITMQ = """
import os, pathlib, sys
from kombu import Connection
from shared.brokers import exchange_of
url = pathlib.Path(os.environ["BROKER_URL_FILE"]).read_text().strip()
act, name = sys.argv[1:]
with Connection(url) as connection:
    channel = connection.channel()
    if act == "take":
        channel.basic_get(name)
    elif act == "delete":
        channel.queue_delete(name)
    elif act == "lead to":
        service = url.partition("//")[2].partition(":")[0]
        arguments = {"alternate-exchange": exchange_of(name)}
        channel.exchange_declare(f"x.{service}.pidbox", "fanout", durable=False, arguments=arguments)
    else:
        channel.confirm_select()
        channel.basic_publish_confirm(channel.prepare_message(b"x"), exchange_of(name), name)
"""


@pytest.mark.parametrize(
    ("service", "act", "queue", "allowed"),
    [
        ("notify", "take", "sms.codes", True),
        ("notify", "take", "auth.events", False),
        ("notify", "take", "otp.events", False),
        ("notify", "put on", "otp.events", False),
        ("notify", "lead to", "otp.events", False),
        ("notify", "delete", "sms.codes", False),
        ("auth", "take", "sms.codes", False),
        ("auth", "put on", "otp.events", False),
        ("auth-worker", "put on", "otp.events", False),
        ("otp-worker", "put on", "auth.events", False),
        ("relay", "take", "otp.events", False),
    ],
)
def test_a_user_of_rabbitmq_reaches_what_its_service_needs(stack, service, act, queue, allowed):
    asked = stack.python(service, ASK_RABBITMQ, act, queue, check=False)
    if allowed:
        assert asked.returncode == 0, asked.stderr
    else:
        assert "AccessRefused" in asked.stderr
