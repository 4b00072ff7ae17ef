"""A phone number that prints masked."""

import re
from dataclasses import dataclass

_E164 = re.compile(r"\+[1-9][0-9]{6,14}\Z")


@dataclass(frozen=True, slots=True, repr=False)
class PhoneNumber:
    """An E.164 number; construction refuses anything else with ValueError."""

    e164: str

    def __post_init__(self) -> None:
        if not _E164.match(self.e164):
            raise ValueError("not an E.164 phone number")

    def masked(self) -> str:
        """``+*******1234``: the last four digits, which is what a page may show."""
        return "+" + "*" * (len(self.e164) - 5) + self.e164[-4:]

    __str__ = __repr__ = masked
