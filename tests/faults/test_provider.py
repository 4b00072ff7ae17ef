"""The provider is slow, refuses, loses answers, or is gone. It sees no message twice, and codes come when it can."""

import time

import pytest

from tests.faults.load import Plan
from tests.support.twilio_stub import Behaviour

pytestmark = pytest.mark.timeout(240)

FAULT_SECONDS = 8.0
DOWN_SECONDS = 60.0
ASKING_AGAIN = Plan(totp=0.3, sms=0.6, backup=0.1, resend=True)
PATIENT = Plan(totp=0.3, sms=0.6, backup=0.1)

# The users of a provider that may have lost a message for good ask again, as the page offers.
FAULTS = {
    "answers after 30 s": (Behaviour(delay=30.0), PATIENT),
    "says 429": (Behaviour(status=429, code=20429), PATIENT),
    "says 500": (Behaviour(status=500, code=20500), ASKING_AGAIN),
    "resets after it took the message": (Behaviour(reset="after"), PATIENT),
    "refuses every number": (Behaviour(status=400, code=21211), ASKING_AGAIN),
}


@pytest.mark.parametrize("what", FAULTS)
def test_the_provider(small, what):
    behaviour, plan = FAULTS[what]

    def misbehave(run):
        small.stub.default = behaviour
        time.sleep(FAULT_SECONDS)
        small.stub.default = Behaviour()

    line = small.play(f"the provider {what}, for 8 s", misbehave, plan=plan, pace=1.3)
    assert not line.violations()
    assert line.sms_twice_by_death == 0


def test_the_provider_down_for_a_minute(small):
    def down(run):
        small.stub.go_down()
        try:
            time.sleep(DOWN_SECONDS)
        finally:
            small.stub.come_back()
        run.ends()

    line = small.play("the provider is down for a minute", down, plan=PATIENT, pace=2.5)
    assert not line.violations()
    assert line.recovery_seconds < 15
