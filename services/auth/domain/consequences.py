"""What ends what: one row a change. services.auth.consequences applies a row; no other module decides what ends.

A column names what a change ends. ``ALL``: everything of the account from before the change. ``ITS_OWN``: what the
thing that ended had opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.auth.domain.reset import ReasonKind
from services.auth.domain.session import Factor


class Change(StrEnum):
    """What can happen to an account, its factors and what it has open."""

    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a change
    PASSWORD_SET_BY_MAIL = "password_set_by_mail"  # noqa: S105
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    RESET_APPLIED = "reset_applied"
    RECOVERY_CODES_RENEWED = "recovery_codes_renewed"
    CODE_ACCEPTED = "code_accepted"  # of the app, or a passkey
    RECOVERY_CODE_ACCEPTED = "recovery_code_accepted"
    PHONE_REMOVED = "phone_removed"
    PHONE_REPLACED = "phone_replaced"
    DEVICE_ENDED = "device_ended"
    SESSION_ENDED = "session_ended"
    ADDRESS_CHANGED = "address_changed"
    ADDRESS_TAKEN_BACK = "address_taken_back"
    OWNERSHIP_HANDED_OVER = "ownership_handed_over"
    TEAM_POLICY_CHANGED = "team_policy_changed"
    ROLE_SET = "role_set"
    ACCOUNT_CLOSED = "account_closed"
    STRANGERS_LET_TRY = "strangers_let_try"  # the owner's word: new browsers may enter codes again
    UNLOCKED = "unlocked"


class Scope(StrEnum):
    """How much of a kind ends."""

    NONE = "none"
    ALL = "all"
    BY_SMS = "by_sms"  # what a texted code has won
    ITS_OWN = "its_own"


class Own(StrEnum):
    """What becomes of the session that orders the change."""

    KEPT = "kept"
    NEW_TOKEN = "new_token"  # noqa: S105 - not a token
    ENDS = "ends"
    AS_OTHERS = "as_others"  # it ends when another session like it would


class Tells(StrEnum):
    """Whom a change is told. The timeline has every change."""

    NOBODY = "nobody"
    OWNER = "owner"  # on every channel
    OWNER_AND_OLD_PHONE = "owner_and_old_phone"
    BOTH_ADDRESSES = "both_addresses"
    TEAM_OWNERS = "team_owners"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a change ends, and whom it tells.

    ``lost`` are factors that sessions which live on can no longer show. ``logins`` are logins that wait for a code;
    ``BY_SMS`` takes the method SMS from them. ``windows`` are step-up windows, and ``BY_SMS`` are the small ones; those
    of a session that ends go with it.
    ``resets``: the kinds of reset that end while under way. ``words``: whether enrolment words become void.
    ``strangers``: whether the row of wrong codes from browsers that the account does not know ends.
    """

    sessions: Scope = Scope.NONE
    own: Own = Own.KEPT
    lost: tuple[Factor, ...] = ()
    trust: Scope = Scope.NONE
    logins: Scope = Scope.NONE
    windows: Scope = Scope.NONE
    codes: Scope = Scope.NONE
    enrollments: Scope = Scope.NONE
    resets: frozenset[ReasonKind] = frozenset()
    words: bool = False
    strangers: bool = False
    tells: Tells = Tells.NOBODY


_ANY_RESET = frozenset(ReasonKind)
# A reset names the app, so a thief who has the phone must not end the reset of a stolen app with that app's code. No
# reset names backup codes, because they are kept apart from the phone.
_RESET_OF_LOST = frozenset({ReasonKind.LOST})
_SECOND_FACTORS = (Factor.TOTP, Factor.SMS, Factor.RECOVERY_CODE, Factor.TRUSTED_DEVICE)


def _all(
    own: Own,
    *,
    resets: bool = False,
    words: bool = False,
    strangers: bool = False,
    lost: tuple[Factor, ...] = (),
    tells: Tells = Tells.OWNER,
) -> Row:
    """Everything that the account has open. The row says what becomes of its own session, and of the rest."""
    return Row(
        sessions=Scope.ALL,
        own=own,
        lost=lost,
        trust=Scope.ALL,
        logins=Scope.ALL,
        windows=Scope.ALL,
        codes=Scope.ALL,
        enrollments=Scope.ALL,
        resets=_ANY_RESET if resets else frozenset(),
        words=words,
        strangers=strangers,
        tells=tells,
    )


_PHONE = Row(
    sessions=Scope.BY_SMS,
    own=Own.AS_OTHERS,
    lost=(Factor.SMS,),
    trust=Scope.BY_SMS,
    logins=Scope.BY_SMS,
    windows=Scope.BY_SMS,
    codes=Scope.ALL,
    tells=Tells.OWNER_AND_OLD_PHONE,
)
_ONE = Row(
    sessions=Scope.ITS_OWN,
    own=Own.AS_OTHERS,
    windows=Scope.ITS_OWN,
    codes=Scope.ITS_OWN,
    enrollments=Scope.ITS_OWN,
)

CONSEQUENCES: Mapping[Change, Row] = {
    Change.PASSWORD_CHANGED: _all(Own.NEW_TOKEN, strangers=True),
    Change.PASSWORD_SET_BY_MAIL: _all(Own.ENDS, strangers=True),
    Change.FACTOR_ADDED: _all(Own.NEW_TOKEN, resets=True, words=True),
    Change.FACTOR_REMOVED: _all(Own.NEW_TOKEN, resets=True, lost=_SECOND_FACTORS),
    # The reset itself is done, and there is one at a time. Its words take the place of earlier ones (enrollment_words).
    Change.RESET_APPLIED: _all(Own.ENDS),
    Change.RECOVERY_CODES_RENEWED: Row(tells=Tells.OWNER),
    # The login or step-up that a code answers claims its own challenge and texts. The owner is in: no reset is needed.
    Change.CODE_ACCEPTED: Row(logins=Scope.ITS_OWN, codes=Scope.ITS_OWN, resets=_RESET_OF_LOST),
    Change.RECOVERY_CODE_ACCEPTED: Row(logins=Scope.ITS_OWN, codes=Scope.ITS_OWN, resets=_ANY_RESET, tells=Tells.OWNER),
    Change.PHONE_REMOVED: _PHONE,
    Change.PHONE_REPLACED: _PHONE,
    Change.DEVICE_ENDED: Row(
        sessions=Scope.ITS_OWN,
        own=Own.AS_OTHERS,
        trust=Scope.ITS_OWN,
        logins=Scope.ITS_OWN,
        windows=Scope.ITS_OWN,
        codes=Scope.ITS_OWN,
        enrollments=Scope.ITS_OWN,
    ),
    Change.SESSION_ENDED: _ONE,
    Change.ADDRESS_CHANGED: Row(tells=Tells.BOTH_ADDRESSES),
    Change.ADDRESS_TAKEN_BACK: _all(Own.ENDS, resets=True, words=True, tells=Tells.BOTH_ADDRESSES),
    Change.OWNERSHIP_HANDED_OVER: Row(windows=Scope.ALL, tells=Tells.TEAM_OWNERS),
    Change.TEAM_POLICY_CHANGED: Row(windows=Scope.ALL, tells=Tells.TEAM_OWNERS),
    # One operator may know the words of a customer's reset; they must not enrol an account that became an operator's.
    Change.ROLE_SET: _all(Own.ENDS, resets=True, words=True),
    Change.ACCOUNT_CLOSED: _all(Own.ENDS, resets=True, words=True),
    Change.STRANGERS_LET_TRY: Row(strangers=True),
    # otp ends the rows itself, because it also decides whether they may be lifted.
    Change.UNLOCKED: Row(tells=Tells.OWNER),
}

# The change that a second factor makes when it is accepted. A texted code ends nothing but its own login or step-up.
ACCEPTED: Mapping[Factor, Change] = {
    Factor.TOTP: Change.CODE_ACCEPTED,
    Factor.RECOVERY_CODE: Change.RECOVERY_CODE_ACCEPTED,
}
