"""How many segments a text takes as an SMS (3GPP TS 23.038 §6.2.1, TS 23.040 §9.2.3.24.1)."""

from dataclasses import dataclass

from shared.texts.sms_alphabet import BASIC, EXTENDED

GSM_7, UCS_2 = "GSM-7", "UCS-2"
# Alphabet -> characters of a single segment, and of each of several, whose numbers take room.
_ROOM = {GSM_7: (160, 153), UCS_2: (70, 67)}


@dataclass(frozen=True, slots=True)
class Counted:
    """``outside``: the characters that the GSM alphabet lacks."""

    alphabet: str
    segments: int
    outside: frozenset[str]


def count(text: str) -> Counted:
    """Count the segments of a text, in the alphabet that it needs."""
    outside = frozenset(text) - BASIC - EXTENDED
    alphabet = UCS_2 if outside else GSM_7
    length = len(text.encode("utf-16-be")) // 2 if outside else len(text) + sum(one in EXTENDED for one in text)
    one, several = _ROOM[alphabet]
    return Counted(alphabet, 1 if length <= one else -(-length // several), outside)
