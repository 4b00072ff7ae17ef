"""The clock of one process is five minutes off; the other processes, and the users, have the right time."""

import sys
from pathlib import Path

import pytest

from deploy.portal import Portal
from tests.faults.parts import part
from tests.faults.stage import second_gateway, second_server
from tests.support.server import no_server

pytestmark = pytest.mark.timeout(200)

MISSING = "no libfaketime: install it (Debian: apt-get install libfaketime)"
OFF = {"fast": "+300s", "slow": "-300s"}
RUN_SECONDS = 8.0


def off(which: str) -> dict[str, str]:
    """The environment of a process whose wall clock is off."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found or sys.platform != "linux":
        no_server(MISSING)
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": OFF[which], "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def nothing(run):
    """The fault was there before the first visit."""


@pytest.mark.parametrize("which", OFF)
def test_a_courier_whose_clock_is_off(small, which):
    """Which codes are too late, and who holds a message, is a matter of the store's time, not of its own."""
    own = small.parts["codes-1"]
    own.stop()
    small.parts["codes-1"] = part(small.stack, "codes-1", small.broker_url, **off(which))
    small.start("codes-1")
    try:
        line = small.play(f"a courier's clock is 5 min {which}", nothing, after=RUN_SECONDS, send_seconds=0.5)
    finally:
        small.parts["codes-1"].stop()
        small.parts["codes-1"] = own
        small.start("codes-1")
    assert not line.violations()


@pytest.mark.parametrize("which", OFF)
def test_a_gateway_whose_clock_is_off(small, which):
    with second_gateway(small, small.stack.settings.otp_port, **off(which)) as base_url:
        own, small.base_url = small.base_url, base_url
        try:
            line = small.play(f"a gateway's clock is 5 min {which}", nothing, after=RUN_SECONDS)
        finally:
            small.base_url = own
    assert not line.violations()


@pytest.mark.parametrize("service", ["auth", "otp"])
@pytest.mark.parametrize("which", OFF)
def test_health_says_so(small, service, which):
    """An app code's window is a matter of otp's own clock: nothing can mend it, so somebody must be told."""
    with second_server(small, service, **off(which)) as base_url:
        answer = Portal(base_url).get("/readyz")
        assert (answer.status, answer.body["parts"]["clock"]) == (503, "down")
    assert Portal(small.base_url).get("/readyz").body["parts"]["clock"] == "ok"
