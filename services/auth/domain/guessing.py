"""Whether guesses over all accounts are so many that strangers get one try a day: counts in, decision out.

A budget bounds one account or one network. An attacker with many of both stays below each budget, and shows only in
the sum. The sum is compared with an absolute floor and with last week.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_HOURS_A_DAY = 24
_HOURS_A_WEEK = 7 * _HOURS_A_DAY
# The last day is no part of what is usual, or an attack would make itself usual while it grows.
HOURS_READ = _HOURS_A_DAY + _HOURS_A_WEEK
KEPT_AN_HOUR = 0.9
_HOURS_THAT_CHANGE = 2  # the running and the last one
_ROUNDING = 1e-6  # 24.999… of a float is 25; any other fraction is dropped, or usual would grow by it
GROWTH = 1.4  # what is usual doubles in a week at most
# Longer than the day of the one try. Else an attacker would spend all tries, wait until the brake is off, and guess
# freely until it is on again.
SHORTEST_HOURS = 26
HOURS_IN_A_LEVEL = 1 / (1 - KEPT_AN_HOUR)  # at a steady rate, the level is this many hours' worth

# Exactly what otp reads as a code of six digits. otp refuses any other spelling, so everything else is a backup code
# (75 bits) or no code.
_SIX_DIGITS = re.compile(r"[0-9]{6}\Z")


class Guess(StrEnum):
    """What is counted over all accounts. Only browsers that the account does not know are counted."""

    WRONG_CODE = "wrong_code"
    RIGHT_PASSWORD = "right_password"  # noqa: S105 - one whose login is not completed


@dataclass(frozen=True, slots=True)
class Rule:
    """The brake goes on above ``floor`` and above ``multiple`` times what is usual."""

    floor: int
    multiple: int


@dataclass(frozen=True, slots=True)
class Hour:
    """The guesses of an hour. ``counts_at_most``: its cap in what is usual; None when no look has set one."""

    guesses: int
    counts_at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What all hours but the running and the last one add to the level, and the threshold, both in guesses.

    It holds for all of the running hour: a login that completes takes back a right password of ten minutes ago at most.
    """

    level: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Reading:
    """How much is guessed. ``level`` and ``threshold`` are in guesses; the level decays by a tenth an hour.

    ``counts_at_most``: the cap of the running hour, which applies once that hour is part of last week.
    """

    level: float
    threshold: float
    counts_at_most: int

    @property
    def brakes(self) -> bool:
        """Whether strangers get one try a day."""
        return self.level > self.threshold

    @property
    def hours_left(self) -> int:
        """The number of hour boundaries until the brake is off, if nothing more is guessed."""
        if not self.brakes:
            return 0
        return max(SHORTEST_HOURS, math.ceil(math.log(self.level / self.threshold) / -math.log(KEPT_AN_HOUR)))


def read(rule: Rule, hours: Sequence[Hour]) -> Reading:
    """Compare with last week. ``hours`` are HOURS_READ of them, newest first; the first one is still running."""
    return read_on(rule, past(rule, hours), hours[0].guesses, hours[1].guesses)


def past(rule: Rule, hours: Sequence[Hour]) -> Past:
    """What the same hours say of the time before the last two.

    Under the brake an hour counts as usual at most, so an attack of days does not become usual. Any other hour counts
    as GROWTH times usual at most, so an attack below the brake takes weeks to raise it.
    """
    level = sum(hour.guesses * KEPT_AN_HOUR**age for age, hour in enumerate(hours) if age >= _HOURS_THAT_CHANGE)
    guesses = sum(_counted(hour) for hour in hours[_HOURS_A_DAY:HOURS_READ])
    threshold = max(float(rule.floor), rule.multiple * guesses / _HOURS_A_WEEK * HOURS_IN_A_LEVEL)
    return Past(level, threshold)


def read_on(rule: Rule, past: Past, running: int, last: int) -> Reading:
    """The same from ``past`` and the guesses of the running hour and of the last one."""
    level, threshold = running + last * KEPT_AN_HOUR + past.level, past.threshold
    usual_an_hour = threshold / rule.multiple / HOURS_IN_A_LEVEL
    return Reading(level, threshold, int(usual_an_hour * (1 if level > threshold else GROWTH) + _ROUNDING))


def _counted(hour: Hour) -> int:
    return hour.guesses if hour.counts_at_most is None else min(hour.guesses, hour.counts_at_most)


def is_six_digits(code: str) -> bool:
    """Whether otp reads it as a code of six digits, which can be guessed; a backup code cannot."""
    return _SIX_DIGITS.match(code) is not None
