"""Backup codes on a host that is busy with something else: no confirmation is refused for want of a hash.

How long one takes is a row of `make bench`.
"""

import time

import pytest

from deploy.bench.busy import busy_host
from deploy.local.ports import free_port
from deploy.local.stack import running_stack
from deploy.portal import AuthenticatorApp
from tests.e2e.conftest import new_person

pytestmark = pytest.mark.e2e

PEOPLE = 15
FILLED_SECONDS = 45  # sixteen sheets, made in a fifth of one core's time


@pytest.fixture
def stack(tmp_path):
    with running_stack(tmp_path, free_port(5), {"TRUSTED_PROXY_COUNT": "1"}) as running:
        yield running, time.monotonic()


def test_no_confirmation_is_refused_for_want_of_a_hash(stack):
    stack, started_at = stack
    portals = [new_person(stack, "member", "Busy host").signed_in() for _ in range(PEOPLE)]
    time.sleep(max(0.0, started_at + FILLED_SECONDS - time.monotonic()))
    with busy_host():
        statuses = []
        for portal in portals:
            begun = portal.post("/v1/two-factor/enrollment").body
            path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
            statuses.append(portal.post(path, {"code": AuthenticatorApp(begun["secret"]).before()}).status)
    assert statuses == [200] * PEOPLE
