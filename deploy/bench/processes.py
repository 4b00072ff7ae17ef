"""CPU time and resident memory of the stack, by program."""

import contextlib
from dataclasses import dataclass

import psutil

from deploy.local.programs import programs_of
from deploy.local.stack import Stack


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far and memory now, of a program with all its processes."""

    cpu_seconds: float
    rss_mib: float
    pss_mib: float
    processes: int


def usage(stack: Stack) -> dict[str, Usage]:
    """Every program of the stack, the supervisor included."""
    supervisor = psutil.Process(stack.pid)
    names = {program.name: stack.processes_of(program.name) for program in programs_of(stack.settings)}
    return {name: _usage(processes) for name, processes in {**names, "supervisor": [supervisor]}.items()}


def _usage(processes: list[psutil.Process]) -> Usage:
    cpu = rss = pss = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            memory = process.memory_full_info()
            cpu += times.user + times.system
            rss += memory.rss / 2**20
            pss += getattr(memory, "pss", memory.rss) / 2**20
    return Usage(cpu, rss, pss, len(processes))
