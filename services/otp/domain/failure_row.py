"""Rows of failures: wrong six-digit codes, counted one after the other. What counts where is in limits.py."""

from enum import StrEnum


class FailureRow(StrEnum):
    """Whose wrong codes a row counts."""

    STRANGERS = "strangers"  # of all browsers that the account does not know, together
    DEVICE = "device"  # of one known device
    SESSION = "session"  # of one open session's step-up
    ALL = "all"  # of the account, wherever they came from; it counts what the others count once more
