"""The clock coach: tells a wrong clock from a wrong code, the most common failure of all.

A code that is right at another time is still refused and counted. The coach only adds how far off the clock is, and
only when two different codes in a row say the same, so that no lucky or observed single code is ever confirmed.
"""

from dataclasses import dataclass
from datetime import timedelta

from services.otp.domain.passcode import Passcode
from services.otp.domain.time_step import PERIOD_SECONDS, TimeStep
from services.otp.domain.totp import VALIDATION_WINDOW, SharedSecret, first_match

REACH_STEPS = 20  # ten minutes
REMEMBERED_FOR = timedelta(minutes=10)
# The second code comes from the next time the user looks at the app: within three minutes, or it is another story.
FARTHEST_STEPS_APART = 6
JITTER_STEPS = 1
_NEAREST_FIRST = [
    offset for distance in range(VALIDATION_WINDOW + 1, REACH_STEPS + 1) for offset in (-distance, distance)
]


@dataclass(frozen=True, slots=True)
class Observation:
    """A code that is right at ``offset`` steps from now: positive when the user's clock is ahead of ours."""

    step: TimeStep
    offset: int

    @property
    def skew_seconds(self) -> int:
        """The offset in seconds; positive: the user's clock is fast."""
        return self.offset * PERIOD_SECONDS

    def confirms(self, earlier: "Observation") -> bool:
        """Whether two codes agree: different ones, soon after each other, off by the same."""
        return (
            0 < self.step - earlier.step <= FARTHEST_STEPS_APART and abs(self.offset - earlier.offset) <= JITTER_STEPS
        )


def observe(secret: SharedSecret, passcode: Passcode, at: TimeStep) -> Observation | None:
    """Where outside the validation window, within ten minutes, this code is right; None when nowhere."""
    step = first_match(secret, passcode, [at + offset for offset in _NEAREST_FIRST if at + offset >= 0])
    return None if step is None else Observation(step, step - at)
