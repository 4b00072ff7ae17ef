"""Who may have two-factor authentication removed, and how fast: a table over identity checks and facts.

A reset gives the account to whoever holds its password. So no single check is ever enough, and the first rule that is
met decides: at once, after one or two other operators, after a cool-off, or not at all.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from services.auth.domain.identity_checks import (
    BILLING,
    CHECKS,
    EMAIL_CODE,
    OWNER_APPROVAL,
    PHONE_CODE,
    VIDEO_ID,
    Facts,
    Kind,
    Passed,
    Times,
    counts,
)


class CoolOff(StrEnum):
    """How long the owner has to cancel: not at all, a day, or three days (settings)."""

    NONE = "none"
    DAY = "day"
    LONG = "long"


class When(StrEnum):
    """Which accounts a rule is for."""

    OPERATOR = "operator"
    UNSETTLED = "unsettled"
    ANY = "any"


def _is_unsettled(facts: Facts, times: Times) -> bool:
    """Whether something happened lately that a thief would do, or that contradicts a lost factor."""
    return (
        facts.within(facts.changed_at, times.settled)
        or facts.within(facts.code_accepted_at, times.code_login)
        or facts.within(facts.reset_at, times.between_resets)
    )


_APPLIES: Mapping[When, Callable[[Facts, Times], bool]] = {
    When.OPERATOR: lambda facts, _times: facts.is_operator,
    When.UNSETTLED: _is_unsettled,
    When.ANY: lambda _facts, _times: True,
}

ANY_TWO: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """What these checks together allow. ``approvals``: how many other operators must agree.

    ``all_of`` is ANY_TWO where any two checks will do, if one of them was performed.
    """

    name: str
    when: When
    all_of: frozenset[str]
    approvals: int
    cool_off: CoolOff

    def is_met(self, passed: frozenset[str], facts: Facts, times: Times) -> bool:
        """Whether the rule is for this account and these checks meet it."""
        return _APPLIES[self.when](facts, times) and self.suffices(passed)

    def suffices(self, passed: frozenset[str]) -> bool:
        """Whether these checks are those that the rule asks for."""
        if self.all_of == ANY_TWO:
            return len(passed) >= 2 and any(CHECKS[check].kind is Kind.PERFORMED for check in passed)
        return self.all_of <= passed


_OF_UNSETTLED = Rule("unsettled_account", When.UNSETTLED, ANY_TWO, 1, CoolOff.LONG)
RULES: tuple[Rule, ...] = (
    Rule("operator_account", When.OPERATOR, ANY_TWO, 2, CoolOff.DAY),
    _OF_UNSETTLED,
    Rule("phone_and_owner", When.ANY, frozenset({PHONE_CODE, OWNER_APPROVAL}), 0, CoolOff.NONE),
    Rule("phone_and_video", When.ANY, frozenset({PHONE_CODE, VIDEO_ID}), 0, CoolOff.NONE),
    Rule("video_and_email", When.ANY, frozenset({VIDEO_ID, EMAIL_CODE}), 1, CoolOff.NONE),
    Rule("owner_and_email", When.ANY, frozenset({OWNER_APPROVAL, EMAIL_CODE}), 1, CoolOff.NONE),
    Rule("phone_and_billing", When.ANY, frozenset({PHONE_CODE, BILLING}), 0, CoolOff.DAY),
    Rule("email_and_billing", When.ANY, frozenset({EMAIL_CODE, BILLING}), 1, CoolOff.LONG),
)


def decide(checks: Iterable[Passed], facts: Facts, times: Times) -> Rule | None:
    """The first rule that is met by those checks that count, or None. Raises KeyError for an unknown check."""
    return _first_met(_counting(checks, facts, times), facts, times)


def still_holds(checks: Iterable[Passed], facts: Facts, times: Times, *, approvals: int, cool_off: timedelta) -> bool:
    """Whether a reset that waits may go on: today's facts ask for no further approval and no longer wait.

    Time alone never ends a reset. So checks that were enough for an unsettled account stay enough when the account is
    settled meanwhile. No other rule but that of operators' accounts asks for more.
    """
    passed = _counting(checks, facts, times)
    rules = [_first_met(passed, facts, times)]
    if not facts.is_operator and _OF_UNSETTLED.suffices(passed):
        rules.append(_OF_UNSETTLED)
    return any(rule and rule.approvals <= approvals and cool_off_of(rule, times) <= cool_off for rule in rules)


def _counting(checks: Iterable[Passed], facts: Facts, times: Times) -> frozenset[str]:
    return frozenset(one.check for one in checks if counts(one, facts, times))


def _first_met(passed: frozenset[str], facts: Facts, times: Times) -> Rule | None:
    return next((rule for rule in RULES if rule.is_met(passed, facts, times)), None)


def cool_off_of(rule: Rule, times: Times) -> timedelta:
    """How long the rule waits."""
    return {CoolOff.NONE: timedelta(0), CoolOff.DAY: times.cool_off, CoolOff.LONG: times.long_cool_off}[rule.cool_off]


def in_order(checks: Iterable[str]) -> list[str]:
    """The checks once each, in the order of the table."""
    passed = set(checks)
    return [check for check in CHECKS if check in passed]
