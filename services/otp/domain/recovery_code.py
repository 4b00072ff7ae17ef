"""Recovery codes: ten a sheet, each a selector and 75 secret bits (NIST SP 800-63B-4 §4.2.1.1 asks for 64).

Written ``XXXX-XXXX-XXXX-XXXX`` in Crockford's base32, which has no I, L, O and U. The first character is the code's
number on the sheet: it finds the one row to compare, so that an attempt costs one password hash and not ten.
"""

import re
import secrets
from dataclasses import dataclass

CODES_A_SHEET = 10
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SELECTORS = ALPHABET[:CODES_A_SHEET]
SECRET_CHARACTERS = 15
LONGEST_SPELLING = 40

_SHAPE = re.compile(rf"[{SELECTORS}][{ALPHABET}]{{{SECRET_CHARACTERS}}}\Z")
# What a person may make of it: hyphens and spaces anywhere, small letters, and the look-alikes that Crockford lists.
_AS_MEANT = str.maketrans({"-": None, " ": None, "O": "0", "I": "1", "L": "1"})


@dataclass(frozen=True, slots=True, repr=False)
class RecoveryCode:
    """One code of a sheet (the pages say "Backup Code"). It prints as ``***``."""

    selector: str
    secret: str

    @classmethod
    def parse(cls, text: str) -> "RecoveryCode | None":
        """The code that a person meant, or None when it cannot be one. ASCII only: upper() would turn ``ı`` into I."""
        if len(text) > LONGEST_SPELLING or not text.isascii():
            return None
        characters = text.upper().translate(_AS_MEANT)
        return cls(characters[0], characters[1:]) if _SHAPE.match(characters) else None

    def format(self) -> str:
        """As it stands on the sheet."""
        characters = self.selector + self.secret
        return "-".join(characters[start : start + 4] for start in range(0, len(characters), 4))

    def __repr__(self) -> str:
        return f"RecoveryCode({self.selector}, ***)"


def new_sheet() -> list[RecoveryCode]:
    """Ten new codes from the CSPRNG, one for each selector."""
    return [
        RecoveryCode(selector, "".join(secrets.choice(ALPHABET) for _ in range(SECRET_CHARACTERS)))
        for selector in SELECTORS
    ]
