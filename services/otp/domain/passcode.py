"""A passcode: six ASCII digits, kept as the text they are."""

import re
from dataclasses import dataclass

DIGITS = 6
# Not \d, which takes the digits of every script, and not int(), which takes "755_224", " 755224" and "+755224".
_SHAPE = re.compile(r"[0-9]{6}\Z")


@dataclass(frozen=True, slots=True, repr=False)
class Passcode:
    """What an authenticator app or an SMS shows. It prints as ``***``."""

    digits: str

    def __post_init__(self) -> None:
        if not _SHAPE.match(self.digits):
            raise ValueError("not six digits")

    @classmethod
    def parse(cls, text: str) -> "Passcode | None":
        """The passcode in exactly this spelling, or None: one code has one spelling (CVE-2025-55000)."""
        return cls(text) if _SHAPE.match(text) else None

    def __repr__(self) -> str:
        return "Passcode(***)"
