"""Measures pairs of refusals in turns and prints whether their times tell them apart; status 1 when they do."""

import argparse
import gc
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from deploy.local.ports import free_port
from deploy.local.stack import Stack, StackError, running_stack
from deploy.portal import Answer
from deploy.timing.probes import Probe, Try, probes
from deploy.timing.ranks import Comparison, Verdict, compare

TRIES = 360
WARM_UP = 8  # the first ones open connections and load scripts

console = Console()
console.width = max(console.width, 120)  # of nine columns


class UnexpectedAnswerError(Exception):
    """A try was answered otherwise than the probe says, so its time tells nothing."""


def main() -> int:
    """0 when no pair is told apart and each was measured often enough."""
    arguments = argparse.ArgumentParser(prog="python -m deploy.timing", description=__doc__)
    arguments.add_argument("--tries", type=int, default=TRIES, help=f"of each kind (default: {TRIES})")
    count = arguments.parse_args().tries
    with tempfile.TemporaryDirectory(prefix="latchkey-timing-") as folder:
        try:
            with running_stack(Path(folder), free_port(5), {"TRUSTED_PROXY_COUNT": "1"}) as stack:
                found = _run(stack, count)
        except (StackError, UnexpectedAnswerError) as error:
            sys.stderr.write(f"{error}\n")
            return 2
    return 0 if {one.verdict for one in found} <= {Verdict.ALIKE, Verdict.TRACE} else 1


def _run(stack: Stack, count: int) -> list[Comparison]:
    table = Table(title="Can the time of a refusal tell what was wrong? AUC 0.5: it can't; 0 or 1: each time it does")
    for column in ("what", "first", "second", "tries", "median ms", "median ms", "AUC", "±", "verdict"):
        table.add_column(column, justify="right" if column in {"tries", "median ms", "AUC", "±"} else "left")
    found = []
    for probe in probes(stack, count):
        first, second = _measure(probe)
        compared = compare(first, second)
        found.append(compared)
        table.add_row(
            probe.name,
            *probe.kinds,
            str(len(first)),
            *(f"{statistics.median(times) * 1000:.2f}" for times in (first, second)),
            f"{compared.auc:.3f}",
            f"{compared.margin:.3f}",
            compared.verdict,
        )
    console.print(table)
    return found


def _measure(probe: Probe) -> tuple[list[float], list[float]]:
    """Seconds of each try, the kinds in turns whose order is drawn: what the machine does besides meets both alike."""
    chance = random.Random(7)  # noqa: S311 - an order, not a secret
    times: tuple[list[float], list[float]] = ([], [])
    pairs = list(zip(*probe.tries, strict=True))
    gc.disable()
    try:
        for number, pair in enumerate(track(pairs, description=probe.name, console=console, transient=True)):
            for kind in chance.sample((0, 1), 2):
                seconds = _time(pair[kind], probe)
                if number >= WARM_UP:
                    times[kind].append(seconds)
    finally:
        gc.enable()
    return times


def _time(attempt: Try, probe: Probe) -> float:
    started = time.perf_counter()
    answer: Answer = attempt()
    seconds = time.perf_counter() - started
    if answer.status != probe.status:
        raise UnexpectedAnswerError(f"{probe.name}: {answer.status} {answer.body}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
