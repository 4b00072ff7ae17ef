"""The story with each process as a user of its own, as in production: nobody needs a right that the table lacks."""

import contextlib

import pytest
from redis import Redis

from deploy.access.rabbitmq import render
from deploy.access.users import BACKGROUND, SERVICES
from deploy.demo.story import Story
from deploy.local.ports import free_port
from deploy.local.stack import running_stack
from tests.faults.parts import PARTS, part, start_all
from tests.support.rabbitmq import rabbitmq_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def rabbitmq_with_users():
    """The address of a RabbitMQ with the users of the table, whose passwords are their names."""
    users = (*SERVICES, BACKGROUND)
    with rabbitmq_server(definitions=render(users, {user.name: user.name for user in users}), user="auth") as (_, url):
        yield url.rpartition("@")[2]


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_everything_goes_as_the_help_page_says_with_the_rights_of_the_table(request, tmp_path, broker):
    settings = {}
    if broker == "rabbitmq":
        address = request.getfixturevalue("rabbitmq_with_users")
        # The gateway's; the one process of `make run` uses it too until it is stopped below.
        settings["BROKER_URL"] = f"amqp://background:background@{address}"
    with running_stack(tmp_path / "var", free_port(5), settings) as stack, contextlib.ExitStack() as running:
        for name in ("background", "notify-codes"):
            stack.stop_program(name)
        parts = []
        for name, (_, user, *_) in PARTS.items():
            url = f"amqp://{user}:{user}@{address}" if broker == "rabbitmq" else stack.settings.redis_url_as(user)
            parts.append(part(stack, name, url, BROKER_URL=url))
            running.callback(parts[-1].stop)
        start_all(parts)
        with Redis.from_url(stack.settings.redis_url, decode_responses=True) as operator:
            # The pings of the start came by kombu's own transport, which looks at keys of its own.
            operator.acl_log_reset()
            Story.on(stack.demo).play()
            assert [(entry["username"], entry["object"]) for entry in operator.acl_log()] == []
        assert "ACCESS_REFUSED" not in "".join(one.log.read_text() for one in parts)
