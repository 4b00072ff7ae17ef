"""SMS pumping against otp's own use cases: ``python -m deploy.simulation.pumping``, or ``make simulate-pumping``.

A real Redis, a real database, and a clock that is turned: half a day passes in a minute or two. Once the pumps prove
phones only; once half of them own proven ones, and sign in.
"""

import argparse
import logging
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import structlog
from redis import Redis
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deploy.local.ports import free_port
from deploy.local.redis_server import RedisUnavailableError, redis_server
from deploy.simulation.play import AGAIN, BEFORE, PROBE, REFUSED, REFUSED_LATER, Fate, Simulation
from deploy.simulation.traffic import Plan, asks
from deploy.simulation.verifier import TurnedClock, open_verifier
from shared.redis_client import connect
from shared.secret import Secret


def report(simulation: Simulation) -> Table:
    """What went out and who was hurt: the lanes of the pumped prefixes, and all others in one row."""
    plan = simulation.plan
    logins = f", {plan.pumped_logins:.0%} of them by logins" if plan.pumped_logins else ""
    table = Table(
        title=f"{plan.pumped} pumped sends in {plan.attack_hours:g} h{logins}; {plan.honest} honest in {plan.hours:g} h"
    )
    for column in ("prefix", "purpose"):
        table.add_column(column)
    out = ("pumped", "out before the trip", "as probes", "between trips", "trips")
    for column in (*out, "honest", "hurt", "hurt later", "healed"):
        table.add_column(column, justify="right")
    pumped = [lane for lane in simulation.fates if lane.prefix in plan.pumped_prefixes]
    for lane in sorted(pumped, key=lambda lane: lane.prefix):
        table.add_row(f"+{lane.prefix}", lane.purpose, *_figures(simulation.fates[lane]))
    elsewhere = simulation.merged(lane for lane in simulation.fates if lane not in pumped)
    table.add_row("elsewhere", "", *_figures(elsewhere), end_section=True)
    table.add_row("all", "", *_figures(simulation.merged(simulation.fates)))
    return table


def _figures(fate: Fate) -> list[str]:
    numbers = [fate.pumped.total(), fate.pumped[BEFORE], fate.pumped[PROBE], fate.pumped[AGAIN], fate.pauses]
    numbers += [fate.honest.total(), fate.honest[REFUSED], fate.honest[REFUSED_LATER]]
    healed = fate.healed_after_minutes
    return [*map(str, numbers), "" if healed is None else f"{healed:.0f} min after"]


def main(arguments: list[str]) -> int:
    """0 when it ran to the end; the figures are for people to judge."""
    parser = argparse.ArgumentParser(prog="python -m deploy.simulation.pumping", description=__doc__)
    for name in ("seed", "pumped", "honest"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Plan(), name))
    plan = Plan(**vars(parser.parse_args(arguments)))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    for played in (plan, replace(plan, pumped_logins=0.5)):
        with tempfile.TemporaryDirectory(prefix="latchkey-pumping-") as folder:
            try:
                with redis_server(Path(folder, "redis"), free_port()) as url:
                    simulation = _play(played, Path(folder), connect(Secret(url)))
            except RedisUnavailableError as error:
                sys.stderr.write(f"{error}\n")
                return 1
        Console().print(report(simulation))
    return 0


def _play(plan: Plan, folder: Path, redis: Redis) -> Simulation:
    clock = TurnedClock()
    deps, notify_keys = open_verifier(folder, redis, clock)
    simulation = Simulation(deps, clock, notify_keys, plan)
    simulation.run(track(asks(plan), "half a day passes", console=Console(stderr=True)))
    deps.recorder.close()
    return simulation


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
