"""The stages, one for each kind of store, and the table at the end."""

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.faults.ledger import Figures, table
from tests.faults.reliability import with_figures
from tests.faults.stage import staged
from tests.support.postgres import Databases, postgres_server
from tests.support.rabbitmq import rabbitmq_server
from tests.support.redis_process import redis_process
from tests.support.twilio_stub import TwilioStub

_LINES: list[Figures] = []  # of this process, as they are counted
_TABLE: list[Figures] = []  # of all processes, in the one that reports
_FIGURES = "figures"


@pytest.fixture(autouse=True)
def figures_travel_with_the_report(request):
    first = len(_LINES)
    yield
    request.node.user_properties += [(_FIGURES, asdict(line)) for line in _LINES[first:]]


def pytest_runtest_logreport(report):
    if report.when == "teardown":
        _TABLE.extend(Figures(**value) for name, value in report.user_properties if name == _FIGURES)


def pytest_terminal_summary(terminalreporter):
    if _TABLE:
        terminalreporter.section("faults under load")
        terminalreporter.write_line(table(_TABLE))
        for line in _TABLE:
            for note in line.notes:
                terminalreporter.write_line(f"  {line.name}: {note}")
        if document := os.environ.get("RELIABILITY"):
            path = Path(document)
            path.write_text(with_figures(path.read_text(), _TABLE))


@pytest.fixture(scope="session")
def stub():
    with TwilioStub() as stub:
        yield stub


@pytest.fixture(scope="session")
def small(tmp_path_factory, stub):
    """SQLite, Redis as broker, and the state on a Redis of its own."""
    with (
        redis_process() as (server, url),
        staged(tmp_path_factory.mktemp("small"), stub, server, url, _LINES, {}) as stage,
    ):
        yield stage


@pytest.fixture(scope="session")
def postgres():
    with postgres_server(pip_first=False) as running:
        yield running


@pytest.fixture(scope="session")
def large(tmp_path_factory, stub, postgres):
    """PostgreSQL and RabbitMQ."""
    databases = Databases(postgres[1])
    urls = {"AUTH_DATABASE_URL": databases.new("auth_faults"), "OTP_DATABASE_URL": databases.new("otp_faults")}
    with (
        rabbitmq_server() as (server, url),
        staged(tmp_path_factory.mktemp("large"), stub, server, url, _LINES, urls) as stage,
    ):
        yield stage


@pytest.fixture
def stage(request):
    """The one of that name: for what must be so on both."""
    return request.getfixturevalue(request.param)
