"""Guesses over many accounts, played guess by guess.

``python -m deploy.simulation.guessing``, or ``make simulate-guessing``.

The windows are those of the limits' tables, and the gateway's own decision (services/auth/domain/guessing.py) puts the
brake on. Codes are never right here: what counts is how many guesses are compared. deploy/guessing.py computes the same
numbers.
"""

import heapq
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from deploy.guessing import (
    CHANCE,
    DEVICE_IN_A_ROW,
    MANY,
    PORTALS,
    STRANGERS_IN_A_ROW,
    TOLD_AT,
    Attack,
    Portal,
    gain,
    kind,
    refused,
)
from services.auth import limits as auth
from services.auth.domain import guessing
from services.auth.domain.guessing import HOURS_READ, Hour, Reading, Rule
from services.otp import limits as otp
from shared.budgets import DAY, HOUR, Rate

_RULE = Rule(auth.GUESSING_FLOOR, auth.GUESSING_MULTIPLE)


class Windows:
    """Budgets as shared/budgets.py keeps them: so many tries from the first one on, and a refused one is free."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int, str], tuple[int, float]] = {}

    def wait(self, at: float, *rows: tuple[Rate, str]) -> float:
        """For how long these rows refuse, 0 when all have room."""
        waits = [0.0]
        for rate, subject in rows:
            for window in rate.windows:
                count, ends_at = self._open.get((rate.name, window.seconds, subject), (0, 0.0))
                if count >= window.max and ends_at > at:
                    waits.append(ends_at - at)
        return max(waits)

    def take(self, at: float, *rows: tuple[Rate, str]) -> None:
        """Count a try."""
        for rate, subject in rows:
            for window in rate.windows:
                key = rate.name, window.seconds, subject
                count, ends_at = self._open.get(key, (0, 0.0))
                self._open[key] = (count + 1, ends_at) if ends_at > at else (1, at + window.seconds)


@dataclass
class Brake:
    """The sum of wrong codes, as the gateway keeps it. The last day raises no threshold, so it is read once an hour."""

    hours: list[Hour] = field(default_factory=lambda: [Hour(0)] * HOURS_READ)
    hour: int = 0
    until: float = 0.0
    before: Reading = field(default_factory=lambda: guessing.read(_RULE, [Hour(0)] * HOURS_READ))
    running: int = 0

    def turn_to(self, at: float) -> None:
        """Begin the hours that have come since."""
        while self.hour < int(at // HOUR):
            self._look()
            self.hour += 1
            self.hours, self.running = [Hour(0), *self.hours[:-1]], 0
            self.before = guessing.read(_RULE, self.hours)

    def is_on(self, at: float) -> bool:
        """Whether strangers have one try."""
        return at < self.until

    def note(self, at: float) -> None:
        """A wrong code of a browser that is not known."""
        self.turn_to(at)
        self.running += 1
        if self.before.level + self.running > self.before.threshold:
            seen = self._look()
            self.until = max(self.until, (self.hour + seen.hours_left) * float(HOUR))

    def has_room(self, at: float) -> bool:
        """Whether an attacker who knows all of this stays below it with one more."""
        self.turn_to(at)
        return self.before.level + self.running + 1 <= self.before.threshold

    def _look(self) -> Reading:
        self.hours[0] = Hour(self.running)
        seen = guessing.read(_RULE, self.hours)
        if self.running:
            self.hours[0] = Hour(self.running, seen.counts_at_most)
        return seen


@dataclass
class Played:
    """What came of an attack.

    ``days``: guesses by day, without those ``at_once``, before the brake first went on. ``untold``: guesses at accounts
    whose owner was not told yet. ``honest`` counts sign-ins from new browsers while the brake was on.
    """

    at_once: int = 0
    untold: int = 0
    days: Counter[int] = field(default_factory=Counter)
    honest: int = 0
    refused: int = 0

    @property
    def guesses(self) -> int:
        """All that were compared."""
        return self.at_once + self.days.total()


class Simulation:
    """One attack, as greedy as the limits let it be, and honest users beside it."""

    def __init__(self, attack: Attack, days: int, portal: Portal | None = None, seed: int = 1) -> None:
        self._attack, self._ends_at, self._portal = attack, days * float(DAY), portal
        self._rng = random.Random(seed)  # noqa: S311 - a simulation
        self._windows, self._brake, self.played = Windows(), Brake(), Played()
        self._in_a_row: Counter[str] = Counter()
        self._of_account: Counter[int] = Counter()
        self._addresses = [(0.0, address) for address in range(attack.addresses)]

    def run(self) -> Played:
        """Play until the days are over, or nothing is left to guess."""
        places = [(account, False) for account in range(self._attack.accounts)]
        places += [(account, True) for account in range(self._attack.stale_devices)]
        turns = [(0.0, self._rng.random(), account, by_device) for account, by_device in places]
        heapq.heapify(turns)
        honest = self._honest()
        came = next(honest, None)
        while turns:
            at, tie, account, by_device = heapq.heappop(turns)
            while came is not None and came <= min(at, self._ends_at):
                self._sign_in(came)
                came = next(honest, None)
            if at >= self._ends_at:
                break
            again = self._guess(at, account, by_device=by_device)
            if again is not None:
                heapq.heappush(turns, (again, tie, account, by_device))
        return self.played

    def _guess(self, at: float, account: int, *, by_device: bool) -> float | None:
        """Guess once if the limits let it; when to come back, or None when nothing is left here."""
        row = f"{account}:{by_device}"
        if self._in_a_row[row] >= (DEVICE_IN_A_ROW if by_device else STRANGERS_IN_A_ROW):
            return None
        if self._attack.silent:
            if self._of_account[account] >= TOLD_AT - 1:
                return None
            if not self._brake.has_room(at):
                return (at // HOUR + 1) * HOUR
        rows = [(otp.VERIFY_LOGIN_KNOWN_DEVICE if by_device else otp.VERIFY_LOGIN, str(account))]
        if self._brake.is_on(at) and not by_device:
            rows.append((auth.BRAKED_CODE, str(account)))
        wait = self._windows.wait(at, *rows)
        if wait:
            return at + wait
        if not by_device:  # a known device is never refused for its network
            free_at = self._free_address(at)
            if free_at > at:
                return free_at
            network = str(self._addresses[0][1])
            rows += [(auth.LOGIN_IP, network), (auth.VERIFY_IP, network)]
        self._windows.take(at, *rows)
        self._in_a_row[row] += 1
        self._compared(at, account, by_device=by_device)
        return at

    def _free_address(self, at: float) -> float:
        """When an address has room; the first of the heap is it."""
        while self._addresses[0][0] <= at:
            address = self._addresses[0][1]
            wait = self._windows.wait(at, (auth.LOGIN_IP, str(address)), (auth.VERIFY_IP, str(address)))
            if not wait:
                return at
            heapq.heapreplace(self._addresses, (at + wait, address))
        return self._addresses[0][0]

    def _compared(self, at: float, account: int, *, by_device: bool) -> None:
        if self._of_account[account] < TOLD_AT:
            self.played.untold += 1
        self._of_account[account] += 1
        if self._brake.until == 0 and not by_device and self._attack.accounts > 1:
            self.played.at_once += 1
        else:
            self.played.days[int(at // DAY)] += 1
        if not by_device:
            self._brake.note(at)

    def _honest(self) -> Iterator[float]:
        """When somebody signs in from a new browser."""
        if self._portal is None:
            return
        each = DAY / (self._portal.accounts * self._portal.new_browsers)
        at = 0.0
        while at < self._ends_at:
            at += self._rng.expovariate(1 / each)
            yield at

    def _sign_in(self, at: float) -> None:
        """An honest user at a new browser. The brake refuses a second try, and a first one that was used up before."""
        assert self._portal is not None  # noqa: S101 - without a portal nobody honest signs in
        account = (auth.BRAKED_CODE, str(self._rng.randrange(self._portal.accounts)))
        mistyped, braked = self._rng.random() < self._portal.mistyped, self._brake.is_on(at)
        self.played.honest += braked
        if braked and self._windows.wait(at, account):
            self.played.refused += 1
            return
        if mistyped:
            self._brake.note(at)
        if mistyped and braked:
            self._windows.take(at, account)
            self.played.refused += 1


def main() -> int:
    """Print what the attacks got beside what the page says."""
    table = Table(title="10,000 leaked passwords, eight days")
    for column in ("addresses", "attack", "a day, most", "page", "untold", "page", "accounts opened"):
        table.add_column(column, justify="right")
    for attack in MANY:
        played, page = Simulation(attack, days=8).run(), gain(attack)
        most = max(played.days.values(), default=0)
        figures = [most, page.a_day, played.untold, page.until_told or page.in_all]
        table.add_row(
            f"{attack.addresses:,}", kind(attack), *(f"{n:,}" for n in figures), f"{played.guesses * CHANCE:.3f}"
        )
    console = Console()
    console.print(table)
    for portal in PORTALS:
        loud = Attack(portal.leaked, addresses=10_000)
        played = Simulation(loud, days=5, portal=portal).run()
        share = played.refused / played.honest * portal.new_browsers
        console.print(
            f"{portal.accounts:,} accounts: {share:.2%} of honest sign-ins refused; page: {refused(portal):.2%}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
