"""What SMS pumping can win, and whom the guards hurt, as laws over small attacks of any shape."""

import tempfile
from pathlib import Path

import fakeredis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.simulation.play import AGAIN, BEFORE, PROBE, REFUSED, REFUSED_LATER, SENT, Simulation
from deploy.simulation.traffic import HOUR, PURPOSES, Plan, asks
from deploy.simulation.verifier import TurnedClock, open_verifier
from services.otp.domain.lane import Lane
from services.otp.limits import SMS_LANE, SMS_PROBE

UNJUDGED, PAYS_FOR = SMS_LANE[0].rule.unjudged_sends, SMS_LANE[0].rule.sends_per_verification
PROBES, ROUND_SECONDS = SMS_PROBE.windows[0].max, SMS_PROBE.windows[0].seconds
SHARES = {"491512": 0.6, "447400": 0.2, "336123": 0.2}
PUMPED = ("491512", "447500")


def play(plan: Plan) -> Simulation:
    with tempfile.TemporaryDirectory(prefix="latchkey-pumping-") as folder:
        clock = TurnedClock()
        deps, notify_keys = open_verifier(Path(folder), fakeredis.FakeRedis(decode_responses=True), clock)
        simulation = Simulation(deps, clock, notify_keys, plan)
        simulation.run(asks(plan))
        deps.recorder.close()
        deps.database.dispose()
    return simulation


PLANS = st.builds(
    Plan,
    seed=st.integers(0, 10_000),
    hours=st.just(6),
    honest=st.integers(0, 100),
    pumped=st.integers(50, 250),
    attack_from_hour=st.floats(0.5, 2),
    attack_hours=st.floats(0.1, 2),
    shares=st.just(SHARES),
    pumped_prefixes=st.just(PUMPED),
    pumped_logins=st.sampled_from([0.0, 0.5]),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLANS)
def test_what_a_pump_can_win_is_bounded_and_nobody_elsewhere_is_hurt(plan):
    simulation = play(plan)
    windows = 1 + plan.attack_hours  # an hour's window may end once in each
    rounds = 1 + plan.attack_hours * HOUR / ROUND_SECONDS
    for lane, fate in simulation.fates.items():
        # Each honest verification pays for some; everybody is taken to have verified, within the attack.
        assert fate.pumped[BEFORE] <= windows * UNJUDGED + PAYS_FOR * fate.honest[SENT]
        assert fate.pumped[PROBE] <= PROBES * (rounds + fate.pauses)
        assert fate.pumped[AGAIN] <= fate.pauses * (UNJUDGED + PAYS_FOR * fate.honest[SENT])
        if lane.prefix not in PUMPED:
            assert fate.honest[REFUSED] == fate.honest[REFUSED_LATER] == fate.pauses == 0


@pytest.mark.parametrize("conversion", [0.6, 0.9])
def test_without_an_attack_nobody_is_hurt(conversion):
    rates = (conversion, conversion)
    simulation = play(Plan(hours=3, honest=300, pumped=0, shares=SHARES, pumped_prefixes=(), conversion=rates))
    assert simulation.merged(simulation.fates).honest == {SENT: 300}


def test_a_pumped_prefix_heals_when_the_pumping_is_over():
    plan = Plan(hours=6, honest=300, pumped=250, attack_from_hour=1, attack_hours=1, shares={"491512": 1},
                pumped_prefixes=("491512",), pumped_logins=0.5)  # fmt: skip
    simulation = play(plan)
    for purpose in PURPOSES:
        fate = simulation.fates[Lane(purpose, "491512")]
        assert fate.pauses >= 1
        assert fate.healed_after_minutes < 120
        assert fate.honest[REFUSED_LATER] <= plan.honest / plan.hours  # those of an hour


def test_who_signs_in_is_not_hurt_by_pumps_that_prove_phones():
    plan = Plan(hours=3, honest=200, pumped=250, attack_from_hour=1, attack_hours=1, shares=SHARES,
                pumped_prefixes=PUMPED)  # fmt: skip
    simulation = play(plan)
    login, proving = (simulation.merged([Lane(purpose, prefix) for prefix in PUMPED]) for purpose in PURPOSES)
    assert login.honest[REFUSED] == login.honest[REFUSED_LATER] == 0
    assert login.honest[SENT] > 50
    assert proving.pumped[REFUSED] > plan.pumped / 2
