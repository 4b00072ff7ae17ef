"""Whether two samples can be told apart, by ranks alone: a slow call on a busy machine weighs no more than others."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# A guess by time that is right in 55 of 100 cases is worth nothing against a budget of ten tries.
TOLERATED = 0.05
STANDARD_ERRORS = 3.3  # a run in a thousand is wrong by more


class Verdict(StrEnum):
    """What a comparison shows. ``TOO_FEW`` is neither: the measurement could not have found out.

    ``TRACE``: there is a difference, and it may still be within what is tolerated.
    """

    ALIKE = "alike"
    TRACE = "a trace"
    TOLD_APART = "told apart"
    TOO_FEW = "too few tries"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``auc`` is the chance that a call of the second kind takes longer than one of the first: 0.5 when alike.

    That is Mann and Whitney's U over all pairs. ``margin`` is how far off it may be by chance.
    """

    auc: float
    margin: float

    @property
    def verdict(self) -> Verdict:
        """Told apart when even the nearer end of what it may be lies outside the tolerated."""
        distance = abs(self.auc - 0.5)
        if distance - self.margin > TOLERATED:
            return Verdict.TOLD_APART
        if distance > self.margin:
            return Verdict.TRACE
        return Verdict.ALIKE if self.margin <= 2 * TOLERATED else Verdict.TOO_FEW


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Compare two samples of at least one value each."""
    ordered = sorted(first)
    wins = sum((bisect.bisect_left(ordered, one) + bisect.bisect_right(ordered, one)) / 2 for one in second)
    pairs = len(first) * len(second)
    # Of U when both come from one distribution; whatever else is true, it is larger by little.
    deviation = math.sqrt((len(first) + len(second) + 1) / (12 * pairs))
    return Comparison(wins / pairs, STANDARD_ERRORS * deviation)
