"""Somebody who looks at the pages."""

import pytest

from tests.support.portal import Browser


@pytest.fixture
def browser(app):
    """A browser's cookies and its Origin header; no scripts."""
    return Browser(app.test_client())
