"""Where codes go."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reach:
    """Into which countries (ISO 3166-1 alpha-2) codes go by text, and into which by call."""

    sms: frozenset[str]
    call: frozenset[str] = frozenset()

    @property
    def countries(self) -> frozenset[str]:
        """Into which codes go at all."""
        return self.sms | self.call
