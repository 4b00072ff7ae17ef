"""What an attacker gets: the page is current, and attacks that are played get no more than it says."""

import pytest

from deploy import guessing
from deploy.guessing import (
    AIM_A_DAY,
    AIM_REFUSED,
    AIM_UNTIL_TOLD,
    BELOW_THE_BRAKE_A_DAY,
    CHANCE,
    TOLD_AT,
    Attack,
    Portal,
    gain,
    refused,
)
from deploy.local.settings import ROOT
from deploy.simulation.guessing import Simulation
from services.auth.limits import GUESSING_FLOOR
from services.otp.domain.failure_row import FailureRow
from services.otp.limits import FAILURES_IN_A_ROW

LEAKED = 10_000


def test_the_page_is_current():
    assert (ROOT / "docs/guessing.md").read_text(encoding="utf-8") == guessing.document()


def test_no_sign_in_empties_the_strangers_row_as_the_page_says():
    assert not FAILURES_IN_A_ROW[FailureRow.STRANGERS].ended_by_success


def test_the_threat_model_leads_to_it():
    assert "(guessing.md)" in (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")


def test_ten_thousand_leaked_passwords_meet_the_aims():
    for addresses in (1, 100, 10_000):
        page = gain(Attack(LEAKED, addresses))
        assert page.a_day * CHANCE <= AIM_A_DAY
        assert page.until_told * CHANCE <= AIM_UNTIL_TOLD
    assert refused(Portal(100_000, LEAKED)) <= AIM_REFUSED


def test_many_addresses_get_what_the_brake_leaves_them():
    page, played = gain(Attack(LEAKED, 10_000)), Simulation(Attack(LEAKED, 10_000), days=3).run()
    assert played.at_once == page.at_once
    assert [played.days[day] for day in range(3)] == [page.a_day] * 3


def test_by_the_sixth_day_every_owner_is_told():
    accounts = 2_000
    page, played = gain(Attack(accounts, 10_000)), Simulation(Attack(accounts, 10_000), days=6).run()
    assert played.untold == page.until_told == accounts * TOLD_AT
    assert max(played.days.values()) <= page.a_day


def test_one_address_gets_what_a_network_has():
    page, played = gain(Attack(LEAKED, 1)), Simulation(Attack(1_000, 1), days=2).run()
    assert played.guesses == 2 * page.a_day
    assert page.at_once == 0, "it is too slow for the brake"


def test_silence_stays_below_the_brake_and_gets_little_a_day():
    attack = Attack(LEAKED, 100, silent=True)
    page, played = gain(attack), Simulation(attack, days=17).run()
    assert played.guesses == played.untold == page.in_all
    assert not played.days, "the brake went on"
    first_days = Simulation(Attack(3_000, 100, silent=True), days=3).run().guesses
    assert 0.9 * 3 * BELOW_THE_BRAKE_A_DAY <= first_days - GUESSING_FLOOR <= 3 * BELOW_THE_BRAKE_A_DAY


@pytest.mark.parametrize("devices", [0, 1])
@pytest.mark.parametrize("addresses", [1, 100])
def test_one_account_gives_what_its_rows_have(addresses, devices):
    attack, days = Attack(1, addresses, stale_devices=devices), 10
    page, played = gain(attack), Simulation(attack, days).run()
    assert played.guesses == page.in_all


def test_at_most_one_honest_sign_in_of_a_hundred_is_refused():
    portal = Portal(100_000, LEAKED)
    played = Simulation(Attack(LEAKED, 10_000), days=2, portal=portal).run()
    share = played.refused / played.honest * portal.new_browsers
    assert share == pytest.approx(refused(portal), rel=0.15)
    assert share <= AIM_REFUSED
