"""Is a provider well? Judged by what its last sends came to, whichever worker made them.

A provider that fails again and again is left alone for a while, then tried with one message at a time. The first
of them that goes well ends it, as soon as the failures of before have left the window.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.clock import after

WINDOW = timedelta(seconds=60)
# Samples that are kept of each provider: enough to judge by, few enough to read at every send.
SAMPLES = 50
# A code that takes longer than this to hand over is a fault, though it is sent.
SLOW_SECONDS = 3.0
# So many bad sends of the window, if they are half of all; and so many in a row.
BAD_SENDS = 3
# How long it is left alone after that many in a row, one more, …; the last one repeats.
QUARANTINE_SECONDS = (15.0, 30.0, 60.0, 120.0, 300.0)
# One message at a time goes to a provider on probation; longer than a send may take (5 s to connect, 5 s to read).
PROBE_SECONDS = 12.0


class Health(StrEnum):
    """Whether a provider gets messages while another is well."""

    WELL = "well"
    ON_PROBATION = "on_probation"
    UNWELL = "unwell"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one send came to. A recipient that was refused is a good send: the provider did its work."""

    at: datetime
    good: bool


def is_good(took_seconds: float, *, failed: bool) -> bool:
    """Whether a send speaks for its provider."""
    return not failed and took_seconds < SLOW_SECONDS


def judge(samples: Sequence[Sample], now: datetime) -> Health:
    """How a provider is, by its samples, newest first."""
    in_a_row = sum(1 for _ in itertools.takewhile(lambda sample: not sample.good, samples))
    if in_a_row >= BAD_SENDS:
        quarantine = QUARANTINE_SECONDS[min(in_a_row - BAD_SENDS, len(QUARANTINE_SECONDS) - 1)]
        return Health.UNWELL if now < after(samples[0].at, quarantine) else Health.ON_PROBATION
    recent = [sample for sample in samples if sample.at > now - WINDOW]
    bad = sum(not sample.good for sample in recent)
    return Health.UNWELL if bad >= BAD_SENDS and 2 * bad >= len(recent) else Health.WELL
