"""Whose sends are judged together: those of one range of numbers, for one purpose."""

from dataclasses import dataclass
from typing import Self

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from services.otp.domain.purpose import Purpose
from shared.phone import PhoneNumber

# A numbering plan hands out blocks of 10⁴ to 10⁷ numbers, and four national digits name such a block: a Danish
# carrier's ten thousand (8 digits), a British one's million (10), a German one's ten million (11). With fewer digits
# the pumping of one block would stop the SMS of its whole country; with more, whoever earns from a block would have
# ten times, or a hundred times, the sends that go out before anybody judges.
NATIONAL_DIGITS = 4
# Shorter numbers show fewer: at least ten thousand share a prefix, so it is no personal data, and may stand in keys,
# logs and metrics as it is. Seven digits at most.
HIDDEN_DIGITS = 4
_LONGEST_COUNTRY_CODE = 3


def prefix_of(phone: PhoneNumber) -> str:
    """Country code (ITU-T E.164 §6.2.1) and the first national digits, without ``+``: ``447400`` of +44 7400 123456.

    Digits whose country code nobody has count as of the longest one.
    """
    digits = phone.e164.removeprefix("+")
    lengths = range(1, _LONGEST_COUNTRY_CODE + 1)  # no country code begins another
    known = (length for length in lengths if int(digits[:length]) in COUNTRY_CODE_TO_REGION_CODE)
    return digits[: min(next(known, _LONGEST_COUNTRY_CODE) + NATIONAL_DIGITS, len(digits) - HIDDEN_DIGITS)]


@dataclass(frozen=True, slots=True)
class Lane:
    """One purpose of one prefix.

    Pumps prove phones: to be sent codes for a login they would first have to enter one. So what stops them leaves those
    users of the prefix alone who sign in, and a pump that does have proven phones is found by its logins.
    """

    purpose: Purpose
    prefix: str

    @classmethod
    def of(cls, purpose: Purpose, phone: PhoneNumber) -> Self:
        """The lane of a send."""
        return cls(purpose, prefix_of(phone))

    @property
    def subject(self) -> str:
        """Its name in counters."""
        return f"{self.purpose}:{self.prefix}"
