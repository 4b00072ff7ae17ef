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
