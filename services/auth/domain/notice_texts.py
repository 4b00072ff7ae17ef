"""What the owner is told: what happened, when, and what to do if it wasn't them. Never a secret or a full number.

NIST SP 800-63B-4 §4.6 asks for notice on every channel with a way to repudiate; OWASP's MFA sheet for news of a right
password that met a wrong code. SMS texts keep to the GSM alphabet: one other character halves what a segment holds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class Kind(StrEnum):
    """The occasions for a notice."""

    TWO_FACTOR_ON = "two_factor_on"
    TWO_FACTOR_OFF = "two_factor_off"
    RESET_REQUESTED = "reset_requested"
    RESET_APPROVED_ONCE = "reset_approved_once"
    RESET_SCHEDULED = "reset_scheduled"
    RESET_STARTED = "reset_started"
    RESET_APPLIED = "reset_applied"
    RESET_CANCELLED = "reset_cancelled"
    RESET_ENDED = "reset_ended"
    NEW_ENROLLMENT_WORD = "new_enrollment_word"
    IDENTITY_PHONE = "identity_phone"
    IDENTITY_EMAIL = "identity_email"
    IDENTITY_OWNER = "identity_owner"
    OWNER_ASKED = "owner_asked"
    RECOVERY_CODE_USED = "recovery_code_used"
    RECOVERY_CODES_REGENERATED = "recovery_codes_regenerated"
    PHONE_CHANGED = "phone_changed"
    PHONE_REMOVED = "phone_removed"
    PHONE_SET_BY_TEAM_OWNER = "phone_set_by_team_owner"
    TRUSTED_DEVICE_ADDED = "trusted_device_added"
    PASSWORD_ACCEPTED = "password_accepted"  # noqa: S105 - an occasion
    CONFIRM_BROWSER = "confirm_browser"
    SECOND_FACTOR_FAILED = "second_factor_failed"
    SECOND_FACTOR_LOCKED = "second_factor_locked"
    SECOND_FACTOR_LOCKED_EVERYWHERE = "second_factor_locked_everywhere"
    UNLOCKED = "unlocked"
    ROLE_CHANGED = "role_changed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - an occasion
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Notice:
    """A text for each channel."""

    subject: str
    email: str
    sms: str


class OwnWords(str):
    """A value of a notice that the product wrote itself, so it may have several lines."""

    __slots__ = ()


_ACT = "If this wasn't you, change your password at {origin} at once and contact support."
_NEVER = "Support never asks for a code of your app or phone, for your password or for a backup code."
_CANCEL = "cancel it: {cancel_url}"
_TELL_SUPPORT = "If you did not ask for this, contact support at once."


@dataclass(frozen=True, slots=True)
class _Text:
    """``happened`` and ``act`` (what to do) make the email. {site}, {origin} and {when} are always there.

    A notice without ``sms`` goes by mail alone.
    """

    subject: str
    happened: str
    act: str
    sms: str = ""


_TEXTS: Mapping[Kind, _Text] = {
    Kind.TWO_FACTOR_ON: _Text(
        "Two-factor authentication is on",
        "Two-factor authentication was turned on for your account. From now on, signing in takes a code as well.",
        f"{_ACT} Other sessions were signed out.",
        "{site}: two-factor authentication was turned ON at {when}. Not you? Contact support.",
    ),
    Kind.TWO_FACTOR_OFF: _Text(
        "Two-factor authentication is off",
        "Two-factor authentication was turned off for your account. A password alone signs in now.",
        f"{_ACT} Then turn two-factor authentication on again.",
        "{site}: two-factor authentication was turned OFF at {when}. Not you? Change your password, contact support.",
    ),
    Kind.IDENTITY_PHONE: _Text(
        "Somebody asks support to remove two-factor authentication",
        "Somebody called support and asks to remove two-factor authentication from your account. To check that it is "
        f"you, we texted two words to your phone. {_NEVER}",
        f"If you did not call us, {_CANCEL}",
        "{site}: Only if you called us: somebody asks to remove your 2FA. Your words: {words}. We never ask for codes "
        "or passwords. Not you? {cancel_by_text}",
    ),
    Kind.IDENTITY_EMAIL: _Text(
        "Somebody asks support to remove two-factor authentication",
        "Somebody called support and asks to remove two-factor authentication from your account. Only if that was you, "
        "read these two words to the operator:\n\n  {words}\n\nOr confirm here: {confirm_url}\n\n" + _NEVER,
        f"If you did not call us, {_CANCEL}",
        "{site}: somebody asks support to remove your 2FA. We mailed words to your address. We never ask for codes or "
        "passwords. Not you? {cancel_by_text}",
    ),
    Kind.IDENTITY_OWNER: _Text(
        "Somebody asks support to remove two-factor authentication",
        "Somebody called support and asks to remove two-factor authentication from your account. We asked the other "
        f"owners of your team whether that is you. {_NEVER}",
        f"If you did not call us, {_CANCEL}",
        "{site}: somebody asks support to remove your 2FA. We asked your team's owners. We never ask for codes or "
        "passwords. Not you? {cancel_by_text}",
    ),
    Kind.OWNER_ASKED: _Text(
        "Does a member of your team need help from support?",
        "Support was asked to remove two-factor authentication from the account {member} of your team. Contact this "
        "person in a way that you already know. Approve only if this person asked for it:\n\n  {approval_url}\n\n"
        + _NEVER,
        "If this person did not ask for it, refuse it there or contact support.",
        "{site}: support was asked to remove the 2FA of {member}. Ask this person, then approve or refuse: "
        "{approval_url} We never ask for codes or passwords. Questions? Contact support.",
    ),
    Kind.RESET_REQUESTED: _Text(
        "Support was asked to remove two-factor authentication",
        "Somebody who passed our identity checks asked support to remove two-factor authentication from your account. "
        f"{{schedule}}{{meanwhile}} {_NEVER}",
        f"If you did not ask for this, {_CANCEL}\nThen change your password at {{origin}}.",
        "{site}: support was asked to remove your 2FA. {schedule} We never ask for codes or passwords. "
        "Not you? {cancel_by_text}",
    ),
    Kind.RESET_APPROVED_ONCE: _Text(
        "A second operator approved the removal of two-factor authentication",
        "A second operator has approved the removal of two-factor authentication from your account. {schedule}"
        f"{{meanwhile}} {_NEVER}",
        f"If you did not ask for this, {_CANCEL}\nThen change your password at {{origin}}.",
        "{site}: a second operator approved the removal of your 2FA. {schedule} We never ask for codes or "
        "passwords. Not you? {cancel_by_text}",
    ),
    Kind.RESET_SCHEDULED: _Text(
        "Two-factor authentication will be removed",
        f"The removal of two-factor authentication from your account was approved. {{schedule}}{{meanwhile}} {_NEVER}",
        f"If you did not ask for this, {_CANCEL}\nThen change your password at {{origin}}.",
        "{site}: the removal of your 2FA was approved. {schedule} We never ask for codes or passwords. "
        "Not you? {cancel_by_text}",
    ),
    Kind.RESET_STARTED: _Text(
        "Two-factor authentication is being removed",
        "Support checked the caller's identity and is removing two-factor authentication from your account now. "
        f"{_NEVER}",
        f"{_TELL_SUPPORT} Change your password at {{origin}} as well.",
        "{site}: support is removing your two-factor authentication now ({when}). We never ask for codes or passwords. "
        "Not you? Contact support at once.",
    ),
    Kind.RESET_APPLIED: _Text(
        "Two-factor authentication was removed",
        "Support removed two-factor authentication from your account. You were signed out everywhere, no browser is "
        f"remembered, and your backup codes do not work. Sign in and turn it on again right away. {_NEVER}",
        f"{_TELL_SUPPORT} Change your password at {{origin}} as well.",
        "{site}: your two-factor authentication was removed at {when}. Sign in and turn it on again. "
        "We never ask for codes or passwords. Not you? Contact support at once.",
    ),
    Kind.NEW_ENROLLMENT_WORD: _Text(
        "Support gave you new words to turn two-factor authentication on",
        "Support checked the caller's identity and gave out new one-time words for your account. Two-factor "
        f"authentication is off until you sign in and turn it on with those words. {_NEVER}",
        f"{_TELL_SUPPORT} Change your password at {{origin}} as well.",
        "{site}: support gave out new words to turn your two-factor authentication on ({when}). "
        "We never ask for codes or passwords. Not you? Contact support at once.",
    ),
    Kind.RESET_CANCELLED: _Text(
        "The removal of two-factor authentication was cancelled",
        "The request to remove two-factor authentication from your account was cancelled. It stays on.",
        "If you need the removal, contact support. If you never asked for it, change your password at {origin}.",
        "{site}: the removal of your two-factor authentication was cancelled at {when}. It stays on. "
        "Questions? Contact support.",
    ),
    Kind.RESET_ENDED: _Text(
        "The removal of two-factor authentication has ended",
        "The request to remove two-factor authentication from your account has ended, and nothing was removed. "
        "{because}",
        "If you need the removal, contact support. If you never asked for it, change your password at {origin}.",
        "{site}: the request to remove your 2FA has ended at {when}; nothing was removed. {because} "
        "Questions? Contact support.",
    ),
    Kind.RECOVERY_CODE_USED: _Text(
        "A backup code was used",
        "A backup code was used for your account. Codes left: {remaining}.",
        f"{_ACT} You can make a new sheet of codes there.",
        "{site}: a backup code was used at {when}; {remaining} left. Not you? Change your password, contact support.",
    ),
    Kind.RECOVERY_CODES_REGENERATED: _Text(
        "New backup codes were made",
        "A new sheet of backup codes was made for your account. The old codes no longer work.",
        _ACT,
        "{site}: new backup codes were made at {when}; old ones are dead. Not you? Contact support.",
    ),
    Kind.PHONE_CHANGED: _Text(
        "Your phone number was changed",
        "The phone number {phone_hint} was proven for your account. Codes by SMS go there from now on.",
        _ACT,
        "{site}: the phone for your codes is now {phone_hint} ({when}). "
        "Not you? Change your password, contact support.",
    ),
    Kind.PHONE_REMOVED: _Text(
        "Your phone number was removed",
        "The phone number {phone_hint} was removed from your account. No more codes go there.",
        _ACT,
        "{site}: the phone {phone_hint} was removed from your account at {when}. Not you? Contact support.",
    ),
    Kind.PHONE_SET_BY_TEAM_OWNER: _Text(
        "A team owner entered a phone number for you",
        "An owner of your team entered the phone number {phone_hint} for your account. No codes go there before you "
        "verify it in a session of your own.",
        "If this is your number, sign in at {origin} and verify it on the Team page. If it is not, do not verify it, "
        "and contact support.",
        "{site}: a team owner entered the phone {phone_hint} for your account at {when}. No codes go there before you "
        "verify it. Not yours? Contact support.",
    ),
    Kind.TRUSTED_DEVICE_ADDED: _Text(
        "A browser is remembered for 30 days",
        "Signing in from this browser takes no code for 30 days:\n\n  Browser: {browser}\n  Address: {ip}",
        f"{_ACT} The list of remembered browsers is there, too.",
        "{site}: a browser was remembered for 30 days at {when}. Not you? Change your password, contact support.",
    ),
    Kind.PASSWORD_ACCEPTED: _Text(
        "Your password was entered in a new place",
        "Somebody entered your right password in a network or a browser where your account was not used for 30 days. "
        "The password alone does not sign in: a code is needed as well.\n\n  Browser: {browser}\n  Address: {ip}\n\n"
        "The list of recent activity at {origin} shows when and where.",
        "If this was you, there is nothing to do. "
        "If it wasn't you, change your password at {origin} at once: it is known to somebody else.",
        "{site}: your right password was entered in a new place at {when}. A code is needed as well. "
        "Not you? Change your password.",
    ),
    Kind.CONFIRM_BROWSER: _Text(
        "Is it you who signs in?",
        "Somebody entered your right password. Before this browser may enter a code, it must be confirmed:\n\n"
        "  Browser: {browser}\n  Address: {ip}\n\n"
        "Only if that is you, open this link in that same browser:\n\n  {confirm_url}\n\n"
        "It works until {until}. Do not give it to anybody.",
        "If this wasn't you, do not open the link. Change your password at {origin} at once: it is known to somebody "
        "else.",
    ),
    Kind.SECOND_FACTOR_FAILED: _Text(
        "Somebody has your password but not your code",
        "Somebody entered your right password and then wrong codes: {count} since our last message about wrong codes. "
        "None of them let anybody in. The last one came from here:\n\n  Browser: {browser}\n  Address: {ip}",
        "If this wasn't you, change your password at {origin} at once: it is known to somebody else. "
        "If it was you, check your phone's clock.",
        "{site}: right password, {count} wrong codes by {when}. Not you? Change your password, contact support.",
    ),
    Kind.SECOND_FACTOR_LOCKED: _Text(
        "Codes are locked in new browsers",
        "There were so many wrong codes in a row that codes from the app or by SMS are not accepted for your account "
        "any more in a browser that you have not signed in with before. In a browser of yours they are, and a backup "
        "code works elsewhere, too.",
        "If it wasn't you, change your password at {origin} at once: the person who tried the codes has it. "
        "A new password lifts the lock. If it was you, lift the lock at {origin} under 2-Factor Auth; support can "
        "lift it, too.",
        "{site}: codes are locked in new browsers since {when} after too many wrong ones. "
        "Not you? Change your password in a browser of yours.",
    ),
    Kind.SECOND_FACTOR_LOCKED_EVERYWHERE: _Text(
        "Codes are locked for your account",
        "There were so many wrong codes in a row that no code from the app or by SMS is accepted for your account any "
        "more, not even in a browser of yours. A backup code is, and it lifts the lock.",
        "Without a backup code, contact support. If it wasn't you, change your password at {origin} then, and end your "
        "other sessions: somebody may have both your password and a browser of yours.",
        "{site}: codes are locked since {when} after too many wrong ones. Use a backup code, or contact support.",
    ),
    Kind.UNLOCKED: _Text(
        "Support lifted the lock on your account",
        "Support lifted the wait after too many wrong codes or passwords for your account. Codes and passwords are "
        "accepted again.",
        "If you did not ask for this, change your password at {origin} at once and contact support: somebody may be "
        "guessing your codes. Support never asks for your password, a code or a backup code.",
        "{site}: support lifted the lock on your account at {when}. We never ask for codes or passwords. "
        "Not you? Change your password, contact support.",
    ),
    Kind.ROLE_CHANGED: _Text(
        "Your role was changed",
        "An administrator gave your account the role {role}. You were signed out everywhere, and no browser is "
        "remembered any more.",
        "If you did not expect this, contact support.",
        "{site}: your account was given the role {role} at {when}. You were signed out. Questions? Contact support.",
    ),
    Kind.PASSWORD_CHANGED: _Text(
        "Your password was changed",
        "The password of your account was changed. Other sessions were signed out, and no browser is remembered any "
        "more.\n\n  Browser: {browser}\n  Address: {ip}",
        "If this wasn't you, contact support at once.",
        "{site}: your password was changed at {when}. Not you? Contact support at once.",
    ),
    Kind.RESTORED: _Text(
        "We restored your account from a backup",
        "After a failure we restored {site} from a backup of {taken_at}. You were signed out everywhere. What "
        "else has changed:\n\n{what}",
        "Sign in at {origin}, and check your phone number and your second factor. If something is wrong, contact "
        "support.",
        "{site}: we restored your account from a backup of {taken_at}. Sign in and check it. "
        "Questions? Contact support.",
    ),
}

_VALUE_MAX = 200
_NOT_PRINTABLE = re.compile(r"[^ -~]+")


# One thief may come from many addresses. A notice stands for all of them, and names the last one.
FROM_ANYWHERE = frozenset({Kind.PASSWORD_ACCEPTED})
# Each notice of these has a link of its own, so none of them stands for another.
HAS_LINK = frozenset(kind for kind, text in _TEXTS.items() if "_url}" in text.happened + text.act + text.sms)


def render(kind: Kind, *, origin: str, at: datetime, times: int = 1, **values: object) -> Notice:
    """The texts of an occasion, or of so many equal ones, of which ``at`` is the last.

    Raises KeyError when one of its values is missing: a programming error.
    """
    text = _TEXTS[kind]
    repeated = f" ({times} times)" if times > 1 else ""
    known = {
        **{name: value if isinstance(value, OwnWords) else _one_line(value) for name, value in values.items()},
        "origin": origin,
        "site": origin.partition("://")[2],
        "when": written(at) + repeated,
    }
    email = f"{text.happened}\n\nWhen: {{when}}\n\n{text.act}\n\n-- \n{{site}}\n"
    sms = text.sms if "{when}" in text.sms else f"{text.sms}{repeated}"
    return Notice(text.subject + repeated, email.format_map(known), sms.format_map(known))


def written(at: datetime) -> str:
    """``2026-11-24 05:00 UTC``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _one_line(value: object) -> str:
    """A browser names itself as it likes: it must not write paragraphs of its own into our message."""
    return _NOT_PRINTABLE.sub(" ", str(value)).strip()[:_VALUE_MAX] or "unknown"
