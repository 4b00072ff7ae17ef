"""What a probe writes down while it tries: how often, what got through, and what was refused for another reason."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.attack.people import UnexpectedAnswerError
from deploy.attack.probe import Finding, Target
from deploy.portal import Answer

_INTERNAL_ERROR, _UNAVAILABLE = 500, 503


@dataclass(slots=True)
class Watch:
    """The notes of one probe. An answer that is neither what the guard says nor a pass proves nothing either way."""

    tries: int = 0
    holes: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    def refused(self, what: str, answer: Answer, *codes: str) -> None:
        """One try, which must be answered with one of these problem codes."""
        self.tries += 1
        got_through = answer.status < 400 or (answer.status >= _INTERNAL_ERROR and answer.status != _UNAVAILABLE)
        if answer.code in codes and not got_through:
            return
        (self.holes if got_through else self.odd).append(f"{what}: {answer.status} {answer.code or ''}".rstrip())

    def served(self, what: str, answer: Answer, status: int = 200) -> None:
        """What must work, or the refusals before it say nothing."""
        if answer.status != status:
            self.odd.append(f"{what}: {answer.status} {answer.code or ''}".rstrip())

    def holds(self, what: str, held: bool, tries: int = 1) -> None:
        """So many tries after which ``held`` must be true; ``what`` says what got through if it isn't."""
        self.tries += tries
        if not held:
            self.holes.append(what)

    def finding(self, tried: str) -> Finding:
        """What was seen. Raises UnexpectedAnswerError when nothing got through and something can't be explained."""
        if not self.holes and self.odd:
            raise UnexpectedAnswerError("; ".join(self.odd))
        return Finding(self.tries, tried, "; ".join(dict.fromkeys(self.holes)) or None)


def watched(attack: Callable[[Target, Watch], str]) -> Callable[[Target], Finding]:
    """Make a probe of what tries something and then says in a line what it tried.

    Behind a hole nothing is as it should be, so what breaks after one was seen does not hide it.
    """

    @functools.wraps(attack)
    def run(target: Target) -> Finding:
        watch = Watch()
        try:
            tried = attack(target, watch)
        except Exception:
            if not watch.holes:
                raise
            tried = "broken off behind a hole"
        return watch.finding(tried)

    return run
