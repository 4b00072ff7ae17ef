"""otp, auth, the relay and the event workers die in the midst of what they do; otp and auth are renewed under load."""

import os
import random
import signal
import time

import psutil
import pytest

from deploy.portal import wait_for
from tests.faults.ledger import Row
from tests.faults.load import Plan

pytestmark = pytest.mark.timeout(200)

IN_FLIGHT = 10  # at most so many calls can be under way when a server is killed: each may have used up its code
EVENTFUL = Plan(totp=0.2, sms=0.4, backup=0.4)


@pytest.mark.parametrize("name", ["otp", "auth"])
def test_a_server_killed_mid_request(small, name):
    def kill(run):
        for _ in range(2):
            small.kill_supervised(name)
            small.wait_until_ready()
            run.ends()
            time.sleep(2)

    line = small.play(f"{name} killed -9 mid-request, twice", kill)
    assert not line.violations()
    assert line.spent_unanswered <= IN_FLIGHT


def kill_at_random(stage, run, name, times=3):
    """Frozen first: that is a moment of its own choice, in a transaction or beside one."""
    rng = random.Random(name)
    for _ in range(times):
        time.sleep(rng.uniform(0.5, 1.5))
        stage.kill(run, name)
        time.sleep(1)
        stage.start(name)
    run.ends()


def test_the_relay_killed(small):
    line = small.play(
        "the relay killed -9, three times", lambda run: kill_at_random(small, run, "relay"), plan=EVENTFUL
    )
    assert not line.violations()


def test_the_event_worker_of_auth_killed(small):
    line = small.play(
        "auth's event worker killed -9, three times",
        lambda run: kill_at_random(small, run, "auth-events"),
        plan=EVENTFUL,
    )
    assert not line.violations()


def test_the_event_worker_of_otp_killed(small):
    """Its events are support's resets."""
    operator = small.operator

    def resets_and_kills(run):
        for number, person in enumerate(run.reserved):
            body = {"ticket": "T-1", "reason": "lost", "identity_checks": ["video_id", "callback_proven_phone"]}
            answer = operator.post(f"/v1/support/accounts/{person.id}/two-factor-resets", body)
            assert answer.status == 202, answer.body
            run.expected.add(Row(person.id, "two_factor.reset_applied", answer.body["id"]))
            if number % 4 == 1:
                small.kill(run, "otp-events")
                time.sleep(0.5)
                small.start("otp-events")

    line = small.play("otp's event worker killed -9 amid resets, three times", resets_and_kills, reserve=12)
    assert not line.violations()


def test_an_event_worker_killed_with_a_message_that_it_had_not_read(small):
    def freeze_and_kill(run):
        for _ in range(2):
            small.parts["auth-events"].pause()
            time.sleep(3)
            small.kill(run, "auth-events")
            small.start("auth-events")
        run.ends()

    line = small.play("auth's event worker killed -9 before it read", freeze_and_kill, plan=EVENTFUL)
    assert not line.violations()


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
        # Passwords that wait for a core are no matter of the restart: the new process loads on the same two.
        failed = [note for note in line.notes if "503 otp" in note or "503 None" in note]
        if not failed:
            break
    assert not failed


def alive(server: psutil.Process) -> set[psutil.Process]:
    return {child for child in server.children() if child.status() != psutil.STATUS_ZOMBIE}
