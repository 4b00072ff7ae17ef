"""What a spectator writes down of every budget: the tables' numbers, and nothing of how they are kept."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.budgets import Rate

Row = tuple[Rate, str]  # whom it counts


@dataclass
class Ledger:
    """Windows as README says them: at most ``max`` tries in ``seconds`` from the first one; a refused one is free."""

    clock: Callable[[], datetime]
    _open: dict[tuple[str, int, str], tuple[int, datetime]] = field(default_factory=dict)
    _paid: dict[tuple[str, str], list[datetime]] = field(default_factory=dict)
    _rates: dict[str, Rate] = field(default_factory=dict)

    def wait_seconds(self, *rows: Row) -> int:
        """0 when each row has room, else when to come back."""
        waits = [0]
        for rate, subject in rows:
            for window in rate.windows:
                count, ends_at = self._window(rate, window.seconds, subject)
                if count >= window.max:
                    left = (ends_at - self.clock()) / timedelta(milliseconds=1)
                    waits.append(-(-int(max(left, 1)) // 1000))
        return max(waits)

    def room(self, row: Row) -> int:
        """How many tries it has left."""
        rate, subject = row
        return min(window.max - self._window(rate, window.seconds, subject)[0] for window in rate.windows)

    def take(self, *rows: Row) -> bool:
        """A try: counted in each row, or in none."""
        if self.wait_seconds(*rows):
            return False
        for rate, subject in rows:
            for window in rate.windows:
                count, ends_at = self._window(rate, window.seconds, subject)
                self._open[rate.name, window.seconds, subject] = count + 1, ends_at
            self._rates[rate.name] = rate
            self._paid.setdefault((rate.name, subject), []).append(self.clock())
        return True

    def give_back(self, *rows: Row) -> None:
        """It was a success, and costs nothing."""
        for rate, subject in rows:
            for window in rate.windows:
                count, ends_at = self._window(rate, window.seconds, subject)
                self._open[rate.name, window.seconds, subject] = max(0, count - 1), ends_at
            self._paid[rate.name, subject].pop()

    def forget(self, rows: Iterable[Row] | None = None) -> None:
        """Redis was lost, or support renewed these rows."""
        self.check()
        if rows is None:
            self._open.clear()
            self._paid.clear()
            return
        for rate, subject in rows:
            self._paid.pop((rate.name, subject), None)
            for window in rate.windows:
                self._open.pop((rate.name, window.seconds, subject), None)

    def check(self) -> None:
        """Wherever a window is laid over what was paid, it holds no more than two that touch may hold."""
        for (name, subject), times in self._paid.items():
            for window in self._rates[name].windows:
                span = timedelta(seconds=window.seconds)
                for start, at in enumerate(times):
                    within = sum(1 for later in times[start:] if later - at < span)
                    assert within <= 2 * window.max, f"{name} {subject}: {within} in {window.seconds} s"

    def _window(self, rate: Rate, seconds: int, subject: str) -> tuple[int, datetime]:
        found = self._open.get((rate.name, seconds, subject))
        if found is None or found[0] == 0 or found[1] < self.clock():
            return 0, self.clock() + timedelta(seconds=seconds)
        return found
