"""How a code reaches a phone."""

from enum import StrEnum


class Channel(StrEnum):
    """A text, or a call by voice for those who cannot read one; landlines take calls only."""

    SMS = "sms"
    CALL = "call"
