"""The provider is slow, refuses, loses answers, or is gone. It sees no message twice, and codes come when it can."""

import time

import pytest

from shared import delivery
from shared.delivery import DeliveryStatus
from shared.delivery_reasons import DeliveryReason
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
# What their pages show of such a message.
TOLD = {
    "says 500": (DeliveryStatus.SENT, DeliveryReason.PROVIDER_DOWN),
    "refuses every number": (DeliveryStatus.FAILED, DeliveryReason.NUMBER_REFUSED),
}


@pytest.mark.parametrize("what", FAULTS)
def test_the_provider(small, what):
    behaviour, plan = FAULTS[what]

    runs = []

    def misbehave(run):
        runs.append(run)
        small.stub.shown.clear()
        small.stub.default = behaviour
        time.sleep(FAULT_SECONDS)
        small.stub.default = Behaviour()

    line = small.play(f"the provider {what}, for 8 s", misbehave, plan=plan, pace=1.3)
    assert not line.violations()
    assert line.sms_twice_by_death == 0
    assert small.stub.shown[behaviour] > 0
    if what in TOLD:  # no lost event: the timeline says so, too
        told = [delivery.read(small.state, asked.message_id) for asked in runs[0].ledger.asked]
        assert TOLD[what] in [(end.status, end.reason) for end in told]


def test_the_provider_down_for_a_minute(small):
    runs = []

    def down(run):
        runs.append(run)
        small.stub.go_down()
        try:
            time.sleep(DOWN_SECONDS)
        finally:
            small.stub.come_back()
        run.ends()

    line = small.play("the provider is down for a minute", down, plan=PATIENT, pace=2.5)
    assert not line.violations()
    assert line.recovery_seconds < 15
    (run,) = runs
    assert any(run.began < asked.at < run.ended for asked in run.ledger.asked), "codes waited for it"
