"""otp and auth are renewed under load, on a machine of their own: a second load beside them takes the cores from both.

`make test-faults` runs this file by itself: what is asserted is what the renewal does, and not what a full core does.
"""

import os
import signal
from contextlib import suppress

import psutil
import pytest

from deploy.portal import wait_for
from tests.faults.load import Plan

pytestmark = pytest.mark.timeout(200)


@pytest.mark.parametrize("name", ["otp", "auth"])
def test_a_rolling_restart_fails_no_request(small, name):
    def roll(run):
        for _ in range(2):
            server = small.stack.processes_of(name)[0]
            before = set(server.children())
            os.kill(server.pid, signal.SIGHUP)
            wait_for(lambda server=server, before=before: not before & alive(server), seconds=30)
        assert small.stack.pid_of(name) == server.pid, "the server itself went on"

    for _ in range(2):  # a busy machine says 503 by itself now and then; what the restart does, it does again
        line = small.play(f"{name} renewed under load (SIGHUP), twice", roll, plan=Plan(own_connections=True))
        assert not line.violations()
        assert line.cut == 0
        failed = [note for note in line.notes if " 503 " in note]
        if not failed:
            break
    assert not failed


def alive(server: psutil.Process) -> set[psutil.Process]:
    return {child for child in server.children() if is_alive(child)}


def is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # it ends whenever it likes
        return process.status() != psutil.STATUS_ZOMBIE
    return False
