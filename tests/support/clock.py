"""The time of the tests."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NOW = datetime(2026, 11, 24, 5, 0, 0, tzinfo=UTC)


@dataclass
class TurnedClock:
    """A clock that stands still until a test turns it."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **delta: float) -> None:
        self.now += timedelta(**delta)
