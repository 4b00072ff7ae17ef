"""Short searches for calls that break the limits, or open what should be shut; `make state-machine` searches longer."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.lockout.machine import Lockout
from tests.lockout.openings import Openings
from tests.lockout.stage import stage
from tests.lockout.strangers import Strangers

SHORT = settings(
    max_examples=10,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # shrinking takes minutes: `make state-machine` does it
)


@pytest.fixture
def machine():
    with stage() as set_up:
        Lockout.stage = set_up
        yield Lockout


def test_no_sequence_of_calls_breaks_the_limits(machine):
    run_state_machine_as_test(machine, settings=SHORT)


def test_no_sequence_of_changes_leaves_open_what_it_must_end(machine):
    Openings.stage = machine.stage
    run_state_machine_as_test(Openings, settings=settings(SHORT, max_examples=3, stateful_step_count=15))


def test_no_sequence_of_guesses_at_many_accounts_holds_out_what_an_account_knows(machine):
    Strangers.stage = machine.stage
    run_state_machine_as_test(Strangers, settings=settings(SHORT, max_examples=3, stateful_step_count=12))
