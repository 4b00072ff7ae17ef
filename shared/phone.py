"""A phone number that prints masked."""

import re
from dataclasses import dataclass

# A numbering plan hands out blocks of 10⁴ to 10⁷ numbers, and four national digits name such a block: a Danish
# carrier's ten thousand (8 digits), a British one's million (10), a German one's ten million (11). With fewer digits
# the pumping of one block would stop the SMS of its whole country; with more, whoever earns from a block would have
# ten times, or a hundred times, the sends that go out before anybody judges.
NATIONAL_DIGITS = 4
# Shorter numbers show fewer: at least ten thousand share a prefix, so it is no personal data, and may stand in keys,
# logs and metrics as it is. Seven digits at most.
HIDDEN_DIGITS = 4
# ITU-T E.164 §6.2.1: no country code begins another. Those that are not listed here have three digits.
_ONE_DIGIT = frozenset("17")
_TWO_DIGITS = frozenset(
    str(code)
    for code in (
        *(20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58),
        *(60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98),
    )
)

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

    def prefix(self) -> str:
        """Country code and the first national digits, without ``+``: ``447400`` of +44 7400 123456."""
        digits = self.e164.removeprefix("+")
        country = 1 if digits[0] in _ONE_DIGIT else 2 if digits[:2] in _TWO_DIGITS else 3
        return digits[: min(country + NATIONAL_DIGITS, len(digits) - HIDDEN_DIGITS)]

    __str__ = __repr__ = masked
