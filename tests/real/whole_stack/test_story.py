"""The story of the help page, on PostgreSQL and RabbitMQ."""

import pytest

from deploy.demo.story import Story
from deploy.local.ports import free_port
from deploy.local.stack import running_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_everything_goes_as_the_help_page_says(tmp_path_factory, urls):
    with running_stack(tmp_path_factory.mktemp("var"), free_port(5), urls) as stack:
        Story.on(stack.demo).play()
