"""What a budget is: windows, rates, and what one try is charged to. How a try is counted: shared/budgets.py.

Apart from it, because notify's tables need no SQLAlchemy.
"""

from dataclasses import dataclass

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``max`` tries in ``seconds`` from the first one."""

    max: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Rate:
    """A row of a service's limits table. ``by`` says what the subject is; a store that is down refuses.

    ``durable``: the count itself lasts elsewhere, and Redis only makes it exact when many try at once. Where Redis has
    lost it nothing is counted before it was recalled. Rows of one name share their counts, whatever their maximum.
    """

    name: str
    by: str
    windows: tuple[Window, ...]
    durable: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """One rate for one subject. Subjects that are personal data (IP, email, phone) come as keyed digests.

    ``only_while``: it counts, and refuses, only while there is such a key, which is one of those that are read with it.
    """

    rate: Rate
    subject: str
    only_while: str | None = None

    def keys(self) -> list[str]:
        """The Redis counters, shortest window first."""
        return [f"budget:{self.rate.name}:{window.seconds}:{self.subject}" for window in self.rate.windows]

    def args(self, condition: int) -> list[int]:
        """max, milliseconds (of a durable one 0) and the place of ``only_while`` among the script's keys, for each."""
        lives = [0 if self.rate.durable else window.seconds * 1000 for window in self.rate.windows]
        rows = zip(self.rate.windows, lives, strict=True)
        return [number for window, life in rows for number in (window.max, life, condition)]
