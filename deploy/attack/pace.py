"""Keeping within the budgets by address, where all of our clients have one: else they would hide what lies behind.

A refusal because of the address would look like a guard that holds. So a probe begins only when the address has room,
and one that takes more than an address has is left out.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from deploy.attack.probe import CannotTryError


@dataclass(slots=True)
class Allowance:
    """At most ``most`` calls to these paths in ``seconds`` from the first one; a probe begins with ``room`` left."""

    path: re.Pattern[str]
    most: int
    seconds: int
    room: int
    made: list[float] = field(default_factory=list)


def allowances() -> tuple[Allowance, ...]:
    """What a gateway gives to an address (services/auth/README.md, "Limits"), all of it unspent."""
    return (
        Allowance(re.compile(r"/v1/login/[^/]+/verify|/login/[^/]+"), most=60, seconds=300, room=45),
        Allowance(re.compile(r"/v1/login|/login"), most=60, seconds=300, room=30),
        Allowance(re.compile(r"/v1/login/[^/]+/sms|/login/[^/]+/sms|/v1/phone(/sms)?"), most=20, seconds=600, room=8),
    )


class Pace:
    """Counts what one address calls; safe to be asked by many threads."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._allowances = allowances()
        self._counting = threading.Lock()

    def count(self, method: str, path: str) -> None:
        """One call. Raises CannotTryError when the address has no more: the deployment would refuse it unseen."""
        with self._counting:
            for one in self._of(method, path):
                if self._left(one) == 0:
                    raise CannotTryError("takes more calls than one address has; see --client-addresses")
                one.made.append(self._clock())

    def give_back(self, method: str, path: str) -> None:
        """The last call cost nothing: its login was completed."""
        with self._counting:
            for one in self._of(method, path):
                if one.made:
                    one.made.pop()

    def wait_for_room(self) -> None:
        """Wait until a whole probe has room."""
        for one in self._allowances:
            while self._left(one) < one.room:
                self._sleep(max(0.1, one.made[0] + one.seconds - self._clock()))

    def _of(self, method: str, path: str) -> Iterator[Allowance]:
        bare = path.partition("?")[0]
        return (one for one in self._allowances if method != "GET" and one.path.fullmatch(bare))

    def _left(self, one: Allowance) -> int:
        """What is left. The deployment's window begins with its first call and ends as a whole."""
        if one.made and self._clock() > one.made[0] + one.seconds:
            one.made.clear()
        return one.most - len(one.made)
