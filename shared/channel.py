"""How a code reaches a phone."""

from enum import StrEnum

# The gateway reports to notify that it has returned a call's code: the provider's name in the receipt, and the status,
# which Twilio does not have.
CALL_PROVIDER, SPOKEN = "twilio.call", "spoken"


class Channel(StrEnum):
    """A text, or a call by voice for those who cannot read one; landlines take calls only."""

    SMS = "sms"
    CALL = "call"
