"""The whole stack with accounts of every role, once for the session."""

import pytest

from deploy.local.ports import free_port
from deploy.local.stack import running_stack
from tests.fuzz.population import populate
from tests.support.stack_settings import settings_for
from tests.support.twilio_stub import TwilioStub


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    with (
        TwilioStub() as stub,
        running_stack(tmp_path_factory.mktemp("var"), free_port(5), settings_for(stub)) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def population(stack):
    path = stack.var_dir / "population.json"
    return path, populate(stack, path)
