"""The clock of one process is five minutes off; the other processes, and the users, have the right time."""

import itertools
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.local.keys import read_keys
from deploy.portal import Portal, wait_for
from services.auth.models import BOX
from shared import outbox
from shared.clock import after, system_clock
from shared.database import reading, writing
from shared.ids import new_id
from shared.messages import TwoFactorResetCoolOffEnded
from tests.faults.load import Plan
from tests.faults.parts import part
from tests.faults.stage import second_gateway, second_server
from tests.support.server import no_server
from tests.support.signing import signer_of

pytestmark = pytest.mark.timeout(200)

MISSING = "no libfaketime: install it (Debian: apt-get install libfaketime)"
OFF = {"fast": "+300s", "slow": "-300s"}
RUN_SECONDS = 8.0
TURN_SECONDS = 0.3
A_MOMENT_SECONDS = 5.0


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
    """When a login or a session ends, and what the page tells of the phone's clock, goes by the store's time."""
    with second_gateway(small, small.stack.settings.otp_port, **off(which)) as base_url:
        told = Portal(base_url).get("/v1/time").body["unix_seconds"]
        assert abs(told - time.time()) < A_MOMENT_SECONDS
        own, small.base_url = small.base_url, base_url
        try:
            line = small.play(f"a gateway's clock is 5 min {which}", nothing, after=RUN_SECONDS)
        finally:
            small.base_url = own
    assert not line.violations()


@pytest.mark.parametrize("which", OFF)
def test_an_otp_whose_clock_is_off(small, which):
    """What one otp mints another one reads, so both take the time from the store. App codes it can't judge."""
    with (
        second_server(small, "otp", **off(which)) as otp_url,
        second_gateway(small, urlsplit(otp_url).port) as base_url,
    ):
        own = small.base_url

        def by_turns(_run):
            turns = itertools.cycle([base_url, own])
            for small.base_url in itertools.islice(turns, int(RUN_SECONDS / TURN_SECONDS)):
                time.sleep(TURN_SECONDS)

        small.base_url = base_url
        try:
            line = small.play(f"otp's clock is 5 min {which}", by_turns, plan=Plan(totp=0.0, sms=0.7, backup=0.3))
        finally:
            small.base_url = own
    assert not line.violations()


def test_a_relay_whose_clock_is_fast_ends_no_cool_off_early(small):
    now = system_clock()
    ended, in_two_minutes = (
        TwoFactorResetCoolOffEnded(id=new_id("evt"), occurred_at=now, account_id="acc_none", reset_id="rst_none")
        for _ in range(2)
    )
    signer = signer_of("auth", read_keys(small.stack.settings.keys_file))
    own = small.parts["relay"]
    own.stop()
    small.parts["relay"] = part(small.stack, "relay", small.broker_url, **off("fast"))
    with writing(small.auth) as connection:
        outbox.record(connection, BOX, in_two_minutes, signer, not_before=after(now, 120))
        outbox.record(connection, BOX, ended, signer, not_before=now)

    def waits(message):
        with reading(small.auth) as connection:
            return any(message.id in row.text for row in outbox.pending(connection, BOX, after(now, 300), 1000))

    small.start("relay")
    try:
        wait_for(lambda: not waits(ended), seconds=20)
        assert waits(in_two_minutes)
    finally:
        small.parts["relay"].stop()
        small.parts["relay"] = own
        small.start("relay")


@pytest.mark.parametrize("service", ["auth", "otp"])
@pytest.mark.parametrize("which", OFF)
def test_health_says_so(small, service, which):
    """An app code's window is a matter of otp's own clock: nothing can mend it, so somebody must be told."""
    with second_server(small, service, **off(which)) as base_url:
        answer = Portal(base_url).get("/readyz")
        assert (answer.status, answer.body["parts"]["clock"]) == (503, "down")
    assert Portal(small.base_url).get("/readyz").body["parts"]["clock"] == "ok"
