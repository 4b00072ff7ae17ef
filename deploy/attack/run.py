"""Runs probes: those that disturb nobody side by side, the others one after the other when all is quiet."""

import os
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from enum import StrEnum

from deploy.attack.probe import CannotTryError, Finding, Probe, Target

# More would wait for each other's password hashes.
SIDE_BY_SIDE = min(8, 2 * (os.cpu_count() or 1))


class Verdict(StrEnum):
    """What came of a probe."""

    HELD = "held"
    HOLE = "HOLE"
    SKIPPED = "skipped"
    BROKEN = "BROKEN"


# The exit status says the worst.
EXIT_STATUS = {Verdict.HELD: 0, Verdict.SKIPPED: 0, Verdict.HOLE: 1, Verdict.BROKEN: 2}


@dataclass(frozen=True, slots=True)
class Result:
    """A probe and its verdict; ``said`` is the hole, or why nothing can be said."""

    probe: Probe
    verdict: Verdict
    tries: int
    tried: str
    said: str
    seconds: float


def run(
    probes: Sequence[Probe],
    target: Target,
    on_done: Callable[[Result], object],
    before_each: Callable[[], object] | None = None,
) -> list[Result]:
    """Run all; the results in the order of the probes. ``on_done`` hears of each as it ends.

    With ``before_each``, which is called before each of them, they run one after the other.
    """
    results: dict[str, Result] = {}

    def keep(result: Result) -> None:
        results[result.probe.name] = result
        on_done(result)

    together = [probe for probe in probes if not probe.alone and before_each is None]
    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="probe") as pool:
        for future in as_completed([pool.submit(run_one, probe, target) for probe in together]):
            keep(future.result())
    for probe in probes:
        if probe not in together:
            if before_each is not None:
                before_each()
            keep(run_one(probe, target))
    return [results[probe.name] for probe in probes]


def run_one(probe: Probe, target: Target) -> Result:
    """Run one; whatever it raises is a verdict too."""
    started = time.monotonic()
    try:
        finding = probe.run(target)
    except CannotTryError as missing:
        finding = Finding(0, "", skipped=str(missing))
    except Exception as error:  # noqa: BLE001 - a probe that breaks says nothing about the others
        said = f"{type(error).__name__}: {error} ({_place(error)})"
        return Result(probe, Verdict.BROKEN, 0, "", said, time.monotonic() - started)
    return Result(
        probe,
        _verdict(finding),
        finding.tries,
        finding.tried,
        finding.hole or finding.skipped or "",
        time.monotonic() - started,
    )


def exit_status(results: Sequence[Result]) -> int:
    """0 when all held or could not be tried here, 1 on a hole, 2 when a probe broke and no hole was found."""
    statuses = {EXIT_STATUS[result.verdict] for result in results}
    return 1 if 1 in statuses else max(statuses, default=0)


def _place(error: Exception) -> str:
    """Where in the probe it was raised, and not where in what the probe called."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if "/probes/" in frame.filename), frames[-1])
    return f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"


def _verdict(finding: Finding) -> Verdict:
    if finding.hole:
        return Verdict.HOLE
    return Verdict.SKIPPED if finding.skipped else Verdict.HELD
