"""What an answer of a provider means for a message."""

from enum import StrEnum


class Verdict(StrEnum):
    """In the words of the providers' tables."""

    SENT = "sent"
    RETRY = "retry"  # not taken: ask again, or ask another provider
    MAYBE_SENT = "maybe_sent"  # nobody knows: see domain/routing.py
    REJECT = "reject"  # this recipient, for good; no fault of the provider
    OUR_FAULT = "our_fault"  # credentials, sender, request: an operator can mend it
