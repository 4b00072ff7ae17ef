"""The brake on guesses over all accounts, as docs/guessing.md and ``domain/guessing.py`` tell it, written once more."""

import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

RIGHT_PASSWORD, WRONG_CODE = "right_password", "wrong_code"
_DAY, _WEEK = 24, 168  # hours


class Brake:
    """On while too much is guessed. The guess that exceeds the threshold puts it on."""

    def __init__(self, clock: Callable[[], datetime], floor: int) -> None:
        self._clock, self._floor = clock, floor
        self._guesses: dict[str, Counter[int]] = {RIGHT_PASSWORD: Counter(), WRONG_CODE: Counter()}
        self._counts_at_most: dict[tuple[str, int], int] = {}
        self.ends_at: datetime | None = None

    @property
    def is_on(self) -> bool:
        return self.ends_at is not None and self._clock() < self.ends_at

    def count(self, kind: str) -> None:
        """One guess of a browser that the account does not know."""
        hour = _hour(self._clock())
        self._guesses[kind][hour] += 1
        self._look(kind, hour)

    def give_back(self, kind: str, at: datetime) -> None:
        """The login was completed, so its right password was no guess."""
        self._guesses[kind][_hour(at)] -= 1

    def _look(self, kind: str, hour: int) -> None:
        """A tenth of the sum goes with each hour. It is too high above the floor, and above four times last week's."""
        ages = {hour - at: number for at, number in self._guesses[kind].items() if hour - at < _DAY + _WEEK}
        level = sum(number * 0.9**age for age, number in ages.items())
        capped = (
            min(number, self._counts_at_most.get((kind, hour - age), number))
            for age, number in ages.items()
            if age >= _DAY
        )
        threshold = max(self._floor, 4 * 10 * sum(capped) / _WEEK)
        is_high = level > threshold
        self._counts_at_most[kind, hour] = int(threshold / 40 * (1 if is_high else 1.4) + 1e-6)
        if is_high:
            hours = max(26, math.ceil(math.log(level / threshold) / -math.log(0.9)))
            ends_at = datetime.fromtimestamp(0, UTC) + timedelta(hours=hour + hours)
            self.ends_at = ends_at if self.ends_at is None else max(ends_at, self.ends_at)


def _hour(at: datetime) -> int:
    return int(at.timestamp() // 3600)
