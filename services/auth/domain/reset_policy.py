"""Who may have two-factor authentication removed, and how fast: the table that support works by.

A reset hands the account to whoever holds its password, so the proof must be as strong as the one at enrolment
(ASVS 5.0 6.4.4, NIST SP 800-63B-4 §4.2). No single check that a thief of mailbox or password could pass is enough.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Path(StrEnum):
    """``IMMEDIATE``: once approved, it happens. ``COOL_OFF``: the owner first has time to cancel."""

    IMMEDIATE = "immediate"
    COOL_OFF = "cool_off"


@dataclass(frozen=True, slots=True)
class Check:
    """One way to see that the caller is the owner. ``instruction`` is what the operator does."""

    title: str
    instruction: str


VIDEO_ID = "video_id"
CALLBACK = "callback_proven_phone"
TEAM_OWNER = "team_owner_confirms"
BILLING = "billing_details"
EMAIL_REPLY = "email_reply"

CHECKS: Mapping[str, Check] = {
    VIDEO_ID: Check(
        "Video call with photo ID",
        "See face and photo ID live. The name must be the account's; ask for a movement that a recording can't follow.",
    ),
    CALLBACK: Check(
        "Call back on the proven phone",
        "Call the number that stands as proven on the account, never one that the caller gives you.",
    ),
    TEAM_OWNER: Check(
        "The team's owner confirms",
        "Reach an owner of the team through contact data on file and ask whether this person lost the phone.",
    ),
    BILLING: Check(
        "Billing details",
        "Ask for the number and amount of a paid invoice of the last three months; both must match.",
    ),
    EMAIL_REPLY: Check(
        "Reply from the account's email address",
        "Send a fresh reference to the account's address and have it read back. A mailbox alone proves little.",
    ),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """All of ``all_of`` together allow a reset on this path."""

    name: str
    all_of: frozenset[str]
    path: Path
    second_operator: bool


# The first rule that is met decides, so the order is from the most convincing evidence to the least.
RULES: tuple[Rule, ...] = (
    Rule("video_and_callback", frozenset({VIDEO_ID, CALLBACK}), Path.IMMEDIATE, second_operator=False),
    Rule("video", frozenset({VIDEO_ID}), Path.IMMEDIATE, second_operator=True),
    Rule("team_owner_and_callback", frozenset({TEAM_OWNER, CALLBACK}), Path.IMMEDIATE, second_operator=True),
    Rule("callback_and_billing", frozenset({CALLBACK, BILLING}), Path.COOL_OFF, second_operator=False),
    Rule("email_and_billing", frozenset({EMAIL_REPLY, BILLING}), Path.COOL_OFF, second_operator=True),
)


def decide(checks: Iterable[str]) -> Rule | None:
    """The rule that these checks meet, or None when they are not enough. Raises KeyError for an unknown check."""
    passed = set(checks)
    for unknown in passed - CHECKS.keys():
        raise KeyError(unknown)
    return next((rule for rule in RULES if rule.all_of <= passed), None)


def in_order(checks: Iterable[str]) -> list[str]:
    """The checks once each, in the order of the table."""
    passed = set(checks)
    return [check for check in CHECKS if check in passed]
