"""Whose sends are judged together: those of one range of numbers, for one purpose."""

from dataclasses import dataclass
from typing import Self

from services.otp.domain.purpose import Purpose
from shared.phone import PhoneNumber


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
        return cls(purpose, phone.prefix())

    @property
    def subject(self) -> str:
        """Its name in counters."""
        return f"{self.purpose}:{self.prefix}"
