"""Slow lines for the length of a test."""

import pytest

from tests.browser.slow_line.line import SlowLine


@pytest.fixture
def slow_line(visit):
    lines = []

    def make(visitor):
        lines.append(SlowLine(visitor))
        return lines[-1]

    yield make
    for line in lines:
        line.end()
