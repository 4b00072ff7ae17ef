"""The identity checks of a reset: what each is, and when it is possible. Pure: no clock, no store.

A performed check is done by the product, so an operator cannot tick it. An attested check rests on the word of an
operator, who writes down what was seen. ASVS 5.0 6.4.4 and NIST SP 800-63B-4 §4.2 ask for proof as strong as at
enrollment before a factor is removed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Kind(StrEnum):
    """Who performs the check: the product, or an operator who attests it."""

    PERFORMED = "performed"
    ATTESTED = "attested"


class WhyNot(StrEnum):
    """Why a check is not possible for this account at this moment."""

    CANCELLED = "cancelled_recently"
    NO_PHONE = "no_phone"
    PHONE_TOO_NEW = "phone_too_new"
    ADDRESS_TOO_NEW = "address_too_new"
    PASSWORD_SET_ANEW = "password_set_anew"  # noqa: S105 - a reason
    NO_OTHER_OWNER = "no_other_owner"


class CheckStatus(StrEnum):
    """Where a check stands. ``ended``: by a cancel, by a change of the account, or by a newer check of its kind."""

    PENDING = "pending"
    PASSED = "passed"
    REFUSED = "refused"
    ENDED = "ended"


PHONE_CODE, EMAIL_CODE, OWNER_APPROVAL = "phone_code", "email_code", "owner_approval"
VIDEO_ID, BILLING = "video_id", "billing_details"


@dataclass(frozen=True, slots=True)
class Check:
    """One way to see that the caller is the owner. ``how`` says what the operator does."""

    title: str
    how: str
    kind: Kind


CHECKS: Mapping[str, Check] = {
    PHONE_CODE: Check(
        "Words by text to the phone",
        "We text two words to the verified phone. The caller reads them to you and you enter them.",
        Kind.PERFORMED,
    ),
    EMAIL_CODE: Check(
        "Words by mail to the address",
        "We mail two words and a link to the account's address. The caller reads the words to you or opens the link.",
        Kind.PERFORMED,
    ),
    OWNER_APPROVAL: Check(
        "Another owner of the team approves",
        "We ask the other owners of the team. One of them signs in with a second factor and approves.",
        Kind.PERFORMED,
    ),
    VIDEO_ID: Check(
        "Video call with photo ID",
        "See face and photo ID live. The name must be the account's. Ask for a movement that a recording cannot "
        "follow. Write down which document was shown, by whom and when.",
        Kind.ATTESTED,
    ),
    BILLING: Check(
        "Billing details",
        "Ask for the number and amount of a paid invoice of the last three months. Both must match. Write down which "
        "invoice.",
        Kind.ATTESTED,
    ),
}


@dataclass(frozen=True, slots=True)
class Passed:
    """A check that was passed. ``confirmed_by``: the owner who approved, where the check is an owner's approval."""

    check: str
    confirmed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Every period of the ceremony; settings, so that a demo plays it in seconds."""

    settled: timedelta  # a phone, a password or an address is trusted this long after it was changed
    code_login: timedelta  # for this long after a login or step-up with a code, it is doubtful that the factor is lost
    between_resets: timedelta
    check_life: timedelta
    after_cancel: timedelta
    approval: timedelta
    cool_off: timedelta
    long_cool_off: timedelta

    @property
    def looks_back(self) -> timedelta:
        """How far back in an account's timeline the policy reads its facts."""
        return max(self.settled, self.code_login, self.between_resets, self.after_cancel)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the account at the moment ``now``; None where it never happened.

    ``changed_at``: the last change of password, phone or address. ``password_set_at``: when a password was last set
    without the old one. ``code_accepted_at``: the last login or step-up with a code.
    ``owners``: the other owners of the team who have a second factor.
    """

    now: datetime
    is_operator: bool
    phone_verified_at: datetime | None
    address_since: datetime
    changed_at: datetime | None
    password_set_at: datetime | None
    code_accepted_at: datetime | None
    reset_at: datetime | None
    cancelled_at: datetime | None
    owners: frozenset[str]

    def within(self, moment: datetime | None, period: timedelta) -> bool:
        """Whether the moment is less than ``period`` ago; false for None."""
        return moment is not None and self.now - moment < period


_Obstacle = tuple[WhyNot, Callable[[Facts, Times], bool]]

_ALWAYS: tuple[_Obstacle, ...] = (
    (WhyNot.CANCELLED, lambda facts, times: facts.within(facts.cancelled_at, times.after_cancel)),
)
_OBSTACLES: Mapping[str, tuple[_Obstacle, ...]] = {
    PHONE_CODE: (
        (WhyNot.NO_PHONE, lambda facts, _times: facts.phone_verified_at is None),
        (WhyNot.PHONE_TOO_NEW, lambda facts, times: facts.within(facts.phone_verified_at, times.settled)),
    ),
    # A password that was set without the old one may rest on the mailbox, so the mailbox is no second proof then.
    EMAIL_CODE: (
        (WhyNot.ADDRESS_TOO_NEW, lambda facts, times: facts.within(facts.address_since, times.settled)),
        (WhyNot.PASSWORD_SET_ANEW, lambda facts, times: facts.within(facts.password_set_at, times.settled)),
    ),
    OWNER_APPROVAL: ((WhyNot.NO_OTHER_OWNER, lambda facts, _times: not facts.owners),),
    VIDEO_ID: (),
    BILLING: (),
}


def why_not(check: str, facts: Facts, times: Times) -> WhyNot | None:
    """Why the check is not possible, or None when it is. Raises KeyError for an unknown check."""
    obstacles = (*_ALWAYS, *_OBSTACLES[check])
    return next((reason for reason, stands_in_the_way in obstacles if stands_in_the_way(facts, times)), None)


def counts(passed: Passed, facts: Facts, times: Times) -> bool:
    """Whether a passed check counts: it is possible at this moment, and the owner who approved could still do so."""
    if passed.check == OWNER_APPROVAL and passed.confirmed_by not in facts.owners:
        return False
    return why_not(passed.check, facts, times) is None
