"""Search for calls that break the limits, or open what should be shut: make state-machine MINUTES=10.

Three machines take turns, a round each. SEED=… begins where one began.
"""

import argparse
import logging
import secrets
import sys
import time

import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.lockout.machine import Lockout
from tests.lockout.openings import Openings
from tests.lockout.stage import stage
from tests.lockout.strangers import Strangers

# Sequences and steps of a round of each search; a round has a seed of its own, one after the other.
SEARCHES = {Lockout: (40, 60), Openings: (10, 40), Strangers: (10, 40)}
EVERY_ROUND = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=[Phase.generate, Phase.shrink],
    print_blob=True,
)


def main() -> int:
    """Exit 1 with the shortest sequence found, else print what was tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.lockout", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    first = secrets.randbelow(2**32) if options.seed is None else options.seed
    print(f"seed {first}", flush=True)
    ends_at, rounds = time.monotonic() + 60 * options.minutes, 0
    with stage() as Lockout.stage:
        Openings.stage = Strangers.stage = Lockout.stage
        while time.monotonic() < ends_at:
            for machine, (sequences, steps) in SEARCHES.items():
                one_round = settings(EVERY_ROUND, max_examples=sequences, stateful_step_count=steps)
                try:
                    run_state_machine_as_test(seed(first + rounds)(machine), settings=one_round)
                except Exception:
                    broken = f"{machine.__name__} is broken in round {rounds}: --seed {first + rounds} begins there"
                    print(broken, file=sys.stderr, flush=True)
                    raise
            rounds += 1
    for machine in SEARCHES:
        tally = machine.tally
        print(f"{machine.__name__}: sequences {tally.pop('sequences')}, steps {tally.pop('steps')}, nothing broken")
        for name, number in tally.most_common():
            print(f"  {number:>9,}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
