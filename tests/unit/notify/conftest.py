import io
import logging

import pytest
import structlog

from tests.unit.notify.courier import Courier, FakeProvider


@pytest.fixture
def courier():
    return Courier()


@pytest.fixture
def first():
    return FakeProvider("first")


@pytest.fixture
def second():
    return FakeProvider("second", idempotent=True)


@pytest.fixture
def log_text():
    """Everything that is logged, as it would be written, whoever logs it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root, level = logging.getLogger(), logging.getLogger().level
    before = structlog.get_config()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(written),
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=False,
    )
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written.getvalue
    root.removeHandler(handler)
    root.setLevel(level)
    structlog.configure(**before)
