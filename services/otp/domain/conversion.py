"""The breaker of a prefix: whether its texts are still read by people who sign in.

SMS pumping earns by the text and never enters a code, so it shows in the share of sends whose code comes back.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConversionRule:
    """``unjudged_sends`` go out in a window whatever comes of them; beyond, a verification pays for so many sends."""

    unjudged_sends: int
    sends_per_verification: int

    def allows(self, sends: int, verified: int) -> bool:
        """Whether the last one of these sends may go out."""
        return sends <= max(self.unjudged_sends, verified * self.sends_per_verification)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a window holds: weighed sends, this one included, and how many codes were entered.

    One account, or one phone, has at most two unanswered sends among them, so a few senders can't pause a prefix.
    """

    rule: ConversionRule
    sends: int
    verified: int


@dataclass(frozen=True, slots=True)
class ProbeRound:
    """The few sends that go out while SMS is paused: how many of this round's codes were entered, of how many needed.

    From one round, for an attack leaves a probe to an honest user now and then, and in time those would add up.
    """

    verified: int
    needed: int


def outrun(evidence: Iterable[Evidence]) -> bool:
    """Whether SMS must pause: in some window the sends have outrun the verifications."""
    return any(not seen.rule.allows(seen.sends, seen.verified) for seen in evidence)


def healed(probes: ProbeRound) -> bool:
    """Whether a pause is over. Its probes alone decide: what was counted before it says nothing about now."""
    return probes.verified >= probes.needed
