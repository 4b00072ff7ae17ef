"""Workers that send SMS codes through a provider that takes 50 ms, against a bare Celery task that makes the same POST.

Each turn fills the queue while the workers are frozen, lets them go, and looks from 15 % to 95 % of the messages:
starting and draining don't count. Who is compared takes many short turns, one right after the other, with a broker and
provider of its own: on a machine that others use too, one look says little. Of rates and memory the medians count, of
CPU the least: what others do there makes the same work cost more (two thirds more was seen, for seconds), never less.
What a worker does every few seconds by itself is left out with it. Two processes are compared with the row of one.
"""

import contextlib
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace

import psutil
from rich.console import Console
from rich.table import Table

from deploy.bench.load import Measured
from deploy.bench.provider import DELAY_SECONDS
from deploy.bench.rig import BARE, OURS, THREADS, Contestant, Rig, rig_on, workers_of
from shared.messages import SendSmsCode
from tests.support import rabbitmq

# (processes, threads in each): few threads, the production setting, where a core is nearly full, and two processes.
ROWS = ((1, 1), (1, 4), (1, 8), (1, 16), (2, 8))
# What production runs on, and what it could run on instead.
OTHER_POOLS, POOLS_CONCURRENCY = ("prefork", "gevent"), 16
# What is promised: the share of c / 50 ms until a core is full, CPU against the bare task, k workers against
# k times one. The table says where it is missed.
SHARE, CPU, SCALING, FULL_CORE = 0.9, 1.3, 0.9, 0.9
SECONDS_OF_WORK, FEWEST_MESSAGES = 2.0, 40
FROM, TO = 0.15, 0.95
TURNS = 10
GIVE_UP_SECONDS = 60.0
PACED_MESSAGES, PACED_PER_SECOND, PACED_THREADS = 200, 50.0, 8


@dataclass(frozen=True, slots=True)
class Rate:
    """How many messages a second the provider got, the CPU that the workers spent on each, and their memory."""

    per_second: float
    cpu_ms: float
    busy: float
    pss_mib: float

    def share(self, concurrency: int) -> float:
        """Of what so many sends at a time could reach."""
        return self.per_second * DELAY_SECONDS / concurrency


def rows(table: Table, console: Console) -> None:
    """Measure on each broker and add what came of it."""
    for broker in ("redis", "rabbitmq"):
        if broker == "rabbitmq" and rabbitmq.server_script() is None:
            table.add_row("SMS workers on rabbitmq", "", "", "", "", "", rabbitmq.MISSING)
            continue
        with rig_on(broker) as rig, rig_on(broker) as other:
            alone: dict[int, float] = {}
            for processes, threads in ROWS:
                console.print(f"SMS workers on {broker}: {processes} x {threads} threads")
                bare, ours = _in_turns({Contestant(BARE): other, Contestant(OURS): rig}, processes, threads)
                against = _kept(ours, bare, alone, processes, threads)
                _add(table, f"bare task, {broker}", processes, threads, bare)
                _add(table, f"SMS code, {broker}", processes, threads, ours, *against)
            _add_pools(table, console, broker)
            for what, app in (("bare task", BARE), ("SMS code", OURS)):
                late = _paced(rig, Contestant(app))
                table.add_row(
                    f"{what}, {broker}: queued until the provider has it",
                    f"1x{PACED_THREADS}",
                    str(len(late.latencies_ms)),
                    f"{PACED_PER_SECOND:.0f}",
                    f"{late.percentile(0.5):.1f}",
                    f"{late.percentile(0.99):.1f}",
                    "",
                )


def _kept(ours: Rate, bare: Rate, alone: dict[int, float], processes: int, threads: int) -> Iterator[str]:
    """Each promise that this row can judge, and whether it is kept."""
    full = ours.busy / processes >= FULL_CORE
    if not full and ours.share(processes * threads) < SHARE:
        yield f"MISSED: {SHARE:.0%} of c / 50 ms"
    cpu = ours.cpu_ms / bare.cpu_ms
    yield f"CPU {cpu:.2f} x bare" + (f", MISSED: {CPU}" if cpu > CPU else "")
    if processes == 1:
        alone[threads] = ours.per_second
    else:
        scaling = ours.per_second / alone[threads] / processes
        yield f"{scaling:.0%} of {processes} x one" + (f", MISSED: {SCALING:.0%}" if scaling < SCALING else "")


def _add_pools(table: Table, console: Console, broker: str) -> None:
    """The same worker on each pool that Celery has, where it is installed."""
    pools = [pool for pool in (THREADS, *OTHER_POOLS) if pool != "gevent" or importlib.util.find_spec("gevent")]
    console.print(f"SMS workers on {broker}: {', '.join(pools)}")
    with contextlib.ExitStack() as stack:
        rigs = {Contestant(OURS, pool): stack.enter_context(rig_on(broker)) for pool in pools}
        rates = _in_turns(rigs, 1, POOLS_CONCURRENCY)
    for pool, rate in zip(pools, rates, strict=True):
        _add(table, f"SMS code, {broker}, {pool}", 1, POOLS_CONCURRENCY, rate, f"{rate.pss_mib:.0f} MiB PSS")


def _add(table: Table, what: str, processes: int, threads: int, rate: Rate, *against: str) -> None:
    share = rate.share(processes * threads)
    words = f"{share:.1%} of c / 50 ms, {rate.cpu_ms:.2f} ms CPU each, {rate.busy:.0%} of a core"
    cells = (f"{processes}x{threads}", "", f"{rate.per_second:.0f}", "", "")
    table.add_row(what, *cells, "; ".join((words, *against)))


def _in_turns(rigs: Mapping[Contestant, Rig], processes: int, threads: int) -> list[Rate]:
    """What each comes to over its turns, on its own rig."""
    with contextlib.ExitStack() as stack:
        workers = {
            contestant: stack.enter_context(workers_of(rig, contestant, processes, threads))
            for contestant, rig in rigs.items()
        }
        turns: dict[Contestant, list[Rate]] = {contestant: [] for contestant in rigs}
        for contestant, rig in rigs.items():
            _warm_up(rig, workers[contestant], processes * threads)
        for turn in range(TURNS):
            for contestant, rig in list(rigs.items())[:: -1 if turn % 2 else 1]:
                turns[contestant].append(_turn(rig, workers[contestant], processes * threads))
    return [_over(of) for of in turns.values()]


def _over(turns: Sequence[Rate]) -> Rate:
    medians = Rate(*map(statistics.median, zip(*map(astuple, turns), strict=True)))
    return replace(medians, cpu_ms=min(turn.cpu_ms for turn in turns))


def _turn(rig: Rig, workers: list[psutil.Process], concurrency: int) -> Rate:
    """Send what is queued, as fast as the workers go."""
    count = max(FEWEST_MESSAGES, int(concurrency / DELAY_SECONDS * SECONDS_OF_WORK))
    for worker in workers:
        worker.suspend()
    try:
        _queue(rig, count)
    finally:
        for worker in workers:
            worker.resume()
    began, so_far, spent = _at(rig, workers, int(count * FROM))
    ended, at_last, spent_at_last = _at(rig, workers, int(count * TO))
    _at(rig, workers, count)
    time.sleep(0.3)  # the last ones are recorded and acknowledged
    pss = sum(process.memory_full_info().pss for process in _with_children(workers))
    sent, seconds, cpu = at_last - so_far, ended - began, spent_at_last - spent
    return Rate(sent / seconds, cpu / sent * 1000, cpu / seconds, pss / 2**20)


def _warm_up(rig: Rig, workers: list[psutil.Process], concurrency: int) -> None:
    """Until they have connected, and have sent a few from each thread."""
    _at(rig, workers, len(_queue(rig, 3 * concurrency)))


def _queue(rig: Rig, count: int) -> list[SendSmsCode]:
    """Queue so many anew."""
    rig.ask("DELETE", "/")
    orders = rig.put(count)
    for order in orders:
        rig.ring(order)
    return orders


def _with_children(workers: list[psutil.Process]) -> list[psutil.Process]:
    return [process for worker in workers for process in (worker, *worker.children(recursive=True))]


def _at(rig: Rig, workers: list[psutil.Process], count: int) -> tuple[float, int, float]:
    """The moment at which the provider has so many: when, how many, the CPU seconds of the workers."""
    gives_up_at = time.monotonic() + GIVE_UP_SECONDS
    while True:
        have = int(rig.ask("GET", "/count"))
        now = time.monotonic()
        if have >= count:
            return now, have, sum(map(_cpu_seconds, _with_children(workers)))
        if now > gives_up_at:
            sys.exit(f"latchkey: {have} of {count} messages were sent in {GIVE_UP_SECONDS:.0f} s")
        time.sleep(0.05)


def _cpu_seconds(process: psutil.Process) -> float:
    """To the nanosecond on Linux, where psutil is told whole hundredths of a second: a tenth of a short turn."""
    try:
        return time.clock_gettime((~process.pid << 3) | 2)  # clock_getcpuclockid(3)
    except OSError:
        times = process.cpu_times()
        return times.user + times.system


def _paced(rig: Rig, of: Contestant) -> Measured:
    """Publish one at a time, well below what the worker can do; from the publish until the provider has it."""
    measured = Measured()
    with workers_of(rig, of, 1, PACED_THREADS) as workers:
        _warm_up(rig, workers, PACED_THREADS)
        rig.ask("DELETE", "/")
        orders = rig.put(PACED_MESSAGES)
        asked: dict[str, float] = {}
        start = time.monotonic()
        for number, order in enumerate(orders):
            time.sleep(max(0.0, start + number / PACED_PER_SECOND - time.monotonic()))
            asked[order.message_id] = time.monotonic()
            rig.ring(order)
        _at(rig, workers, len(orders))
        arrived = rig.arrived(orders)
    measured.latencies_ms += [(arrived[one] - asked[one]) * 1000 for one in arrived]
    return measured


def main() -> int:
    """``python -m deploy.bench.workers``: this part alone."""
    console = Console()
    table = Table(title=f"{os.cpu_count()} cores; compare within this run only")
    for column in ("what", "workers", "calls", "per s", "p50 ms", "p99 ms", "against"):
        table.add_column(column, justify="left" if column in {"what", "against"} else "right")
    rows(table, console)
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
