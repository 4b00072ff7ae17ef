"""otp, auth, the relay and the event workers die in the midst of what they do."""

import random
import time
from contextlib import closing

import pytest

from services.auth.otp_client import OtpClient
from shared.keys import KeyList
from tests.faults.ledger import Code, Fate
from tests.faults.load import Plan
from tests.faults.people import step_now

pytestmark = pytest.mark.timeout(200)

IN_FLIGHT = 10  # at most so many calls can be under way when a server is killed: each may have used up its code
EVENTFUL = Plan(totp=0.2, sms=0.4, backup=0.4)


@pytest.mark.parametrize("name", ["otp", "auth"])
def test_a_server_killed_mid_request(small, name):
    """Each kill follows a code of the app that otp has accepted while nobody heard its answer."""
    key = KeyList.parse(small.environment("auth")["OTP_API_KEYS"]).newest

    def kill(run):
        for person in run.reserved:
            owner, challenge = small.begin_login(person)
            digits = person.totp(step_now())
            with closing(OtpClient(small.stack.settings.otp_url, key)) as otp:
                otp.verify(person.id, digits, "login", challenge)
            small.kill_supervised(name)
            small.wait_until_ready()
            run.ends()
            status = owner.verify(challenge, digits).status
            fate = Fate.PASSED if status == 200 else Fate.REFUSED
            run.ledger.code(Code(person.id, "totp", digits, good=True, statuses=[status], fate=fate))
            time.sleep(2)

    line = small.play(f"{name} killed -9 mid-request, twice", kill, reserve=2)
    assert not line.violations()
    assert line.spent_unanswered <= IN_FLIGHT
    # Requests were under way: each of those that otp leaves without an answer is a 503 of the gateway's.
    if name == "otp":
        assert line.unavailable
        assert line.cut == 0, "the gateway answers for it"
    else:
        assert line.cut


def kill_at_random(stage, run, name, times=3):
    """Each time at a moment that it did not choose, in a transaction or beside one."""
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
    support = small.support()

    def resets_and_kills(run):
        for number, person in enumerate(run.reserved):
            small.reset(run, person, support)
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
