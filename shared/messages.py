"""The words that travel on the broker: commands are orders, events are history; none carries a secret.

QUEUES says which task serves a queue, ROUTES which queues a message goes to, SENT_BY which service may send it,
KEPT_FOR which messages the broker may drop. These tables are the whole wiring.
"""

import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from shared.clock import parse_rfc3339, rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What every message has: an id that makes it act once, and when it happened."""

    TYPE: ClassVar[str]
    id: str
    occurred_at: datetime


# --- commands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSmsCode(Message):
    """Send the sealed text stored under ``message_id``; of no use after ``deadline`` (the claim check)."""

    TYPE: ClassVar[str] = "send_sms_code"
    message_id: str
    deadline: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSmsNotice(Message):
    """Tell the owner by SMS. ``sealed`` holds recipient and text, readable by notify alone.

    ``kind``: which budgets it is charged to (shared/sending_budgets.py).
    """

    TYPE: ClassVar[str] = "send_sms_notice"
    message_id: str
    sealed: str
    deadline: datetime
    kind: str = "security"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendEmailNotice(Message):
    """Tell the owner by email; sealed and charged like SendSmsNotice."""

    TYPE: ClassVar[str] = "send_email_notice"
    message_id: str
    sealed: str
    deadline: datetime
    kind: str = "security"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReceipt(Message):
    """The carrier's word on a message, in the provider's own status words."""

    TYPE: ClassVar[str] = "record_receipt"
    message_id: str
    provider: str
    provider_status: str
    provider_error: str | None = None


NEW_BROWSERS, EVERYWHERE = "new_browsers", "everywhere"

# --- events of otp ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatorEnrolled(Message):
    """2FA is on from ``occurred_at``. ``session_id`` is the session that confirmed it and may live on."""

    TYPE: ClassVar[str] = "authenticator.enrolled"
    account_id: str
    authenticator_id: str
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorDisabled(Message):
    """The owner turned 2FA off; authenticators and recovery codes are gone."""

    TYPE: ClassVar[str] = "two_factor.disabled"
    account_id: str
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodeSpent(Message):
    """One recovery code was used."""

    TYPE: ClassVar[str] = "recovery_code.spent"
    account_id: str
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodesRegenerated(Message):
    """A new sheet; the old codes are dead."""

    TYPE: ClassVar[str] = "recovery_codes.regenerated"
    account_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactorLocked(Message):
    """Too many consecutive failures (NIST SP 800-63B-4 §3.2.2). ``scope``: from where no code is taken any more."""

    TYPE: ClassVar[str] = "second_factor.locked"
    account_id: str
    consecutive_failures: int
    scope: str = EVERYWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorResetApplied(Message):
    """otp removed the authenticators that the reset named, and with them recovery codes and live passcodes."""

    TYPE: ClassVar[str] = "two_factor.reset_applied"
    account_id: str
    reset_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorResetFoundNothing(Message):
    """otp changed nothing: none of the authenticators that the reset named is active, or the owner has signed in.

    ``factor``: the owner's factor that was accepted after the approval; None when no authenticator was active.
    """

    TYPE: ClassVar[str] = "two_factor.reset_found_nothing"
    account_id: str
    reset_id: str
    factor: str | None = None


# --- events of auth ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorResetApproved(Message):
    """Support's reset may be carried out now. It removes these authenticators and no other.

    ``ended_by``: the factors that end the reset, when a code of one was accepted after ``occurred_at``.
    """

    TYPE: ClassVar[str] = "two_factor.reset_approved"
    account_id: str
    reset_id: str
    authenticators: tuple[str, ...] = ()
    ended_by: tuple[str, ...] = ("recovery_code", "totp")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatorsSuspended(Message):
    """The authenticators of a reset were stolen: otp accepts no six digits until the reset is over.

    ``voided_by``: the restore that has voided the reset. No later event of that reset reinstates the authenticators.
    """

    TYPE: ClassVar[str] = "authenticators.suspended"
    account_id: str
    reset_id: str
    authenticators: tuple[str, ...]
    voided_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatorsReinstated(Message):
    """The reset was cancelled or has ended: what was suspended for it is accepted again."""

    TYPE: ClassVar[str] = "authenticators.reinstated"
    account_id: str
    reset_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorResetApprovalLapsed(Message):
    """Delivered when the approval of a reset was due; a reset that was approved or cancelled ignores it."""

    TYPE: ClassVar[str] = "two_factor.reset_approval_lapsed"
    account_id: str
    reset_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorResetCoolOffEnded(Message):
    """Delivered when the cool-off of a reset is over; a reset cancelled meanwhile ignores it."""

    TYPE: ClassVar[str] = "two_factor.reset_cool_off_ended"
    account_id: str
    reset_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded(Message):
    """A session has ended, so what it has begun in otp ends, too. auth sends this besides its call to otp."""

    TYPE: ClassVar[str] = "session.ended"
    account_id: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenThingsEnded(Message):
    """All texted codes of an account end, and the enrollments that were begun before ``occurred_at``.

    Only earlier releases of auth send this.
    """

    TYPE: ClassVar[str] = "account.open_things_ended"
    account_id: str


# --- events of notify -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsDeliveryChanged(Message):
    """What became of an SMS code: a DeliveryStatus and a word on why, never the number or the text."""

    TYPE: ClassVar[str] = "sms.delivery_changed"
    account_id: str
    message_id: str
    status: str
    reason: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeNotSent(Message):
    """The budgets of a notice were used up, so it went by no text (``channel`` sms) or by no mail (email)."""

    TYPE: ClassVar[str] = "notice.not_sent"
    account_id: str
    message_id: str
    channel: str


SMS_CODES, SMS_RECEIPTS, SMS_NOTICES, EMAIL_NOTICES = "sms.codes", "sms.receipts", "sms.notices", "email.notices"
AUTH_EVENTS, OTP_EVENTS = "auth.events", "otp.events"

QUEUES: dict[str, str] = {  # queue -> the name of the task that serves it
    SMS_CODES: "notify.send_sms_code",
    SMS_RECEIPTS: "notify.record_receipt",
    SMS_NOTICES: "notify.send_sms_notice",
    EMAIL_NOTICES: "notify.send_email_notice",
    AUTH_EVENTS: "auth.handle_event",
    OTP_EVENTS: "otp.handle_event",
}

ROUTES: dict[type[Message], tuple[str, ...]] = {  # message -> the queues of those who act on it
    SendSmsCode: (SMS_CODES,),
    RecordReceipt: (SMS_RECEIPTS,),
    SendSmsNotice: (SMS_NOTICES,),
    SendEmailNotice: (EMAIL_NOTICES,),
    AuthenticatorEnrolled: (AUTH_EVENTS,),
    TwoFactorDisabled: (AUTH_EVENTS,),
    RecoveryCodeSpent: (AUTH_EVENTS,),
    RecoveryCodesRegenerated: (AUTH_EVENTS,),
    SecondFactorLocked: (AUTH_EVENTS,),
    TwoFactorResetApproved: (OTP_EVENTS,),
    TwoFactorResetCoolOffEnded: (AUTH_EVENTS,),
    TwoFactorResetApplied: (AUTH_EVENTS,),
    TwoFactorResetFoundNothing: (AUTH_EVENTS,),
    TwoFactorResetApprovalLapsed: (AUTH_EVENTS,),
    AuthenticatorsSuspended: (OTP_EVENTS,),
    AuthenticatorsReinstated: (OTP_EVENTS,),
    SessionEnded: (OTP_EVENTS,),
    OpenThingsEnded: (OTP_EVENTS,),
    SmsDeliveryChanged: (AUTH_EVENTS,),
    NoticeNotSent: (AUTH_EVENTS,),
}

AUTH, OTP, NOTIFY = "auth", "otp", "notify"

# message -> the only service that may send it, and that signs it (shared/signed_messages.py). SendSmsCode is not
# signed: it only makes notify look for the text of that id, and otp has signed the text, its id and its deadline.
SENT_BY: dict[type[Message], str | None] = {
    SendSmsCode: None,
    RecordReceipt: AUTH,
    SendSmsNotice: AUTH,
    SendEmailNotice: AUTH,
    AuthenticatorEnrolled: OTP,
    TwoFactorDisabled: OTP,
    RecoveryCodeSpent: OTP,
    RecoveryCodesRegenerated: OTP,
    SecondFactorLocked: OTP,
    TwoFactorResetApproved: AUTH,
    TwoFactorResetCoolOffEnded: AUTH,
    TwoFactorResetApplied: OTP,
    TwoFactorResetFoundNothing: OTP,
    TwoFactorResetApprovalLapsed: AUTH,
    AuthenticatorsSuspended: AUTH,
    AuthenticatorsReinstated: AUTH,
    SessionEnded: AUTH,
    OpenThingsEnded: AUTH,
    SmsDeliveryChanged: NOTIFY,
    NoticeNotSent: NOTIFY,
}

CODE_LIVES_FOR = timedelta(minutes=5)  # of a text or a call; NIST SP 800-63B-4 §3.1.3.2 allows ten
# message -> how long the broker must keep it; all others for as long as it takes. RabbitMQ drops what waited longer at
# the head of its queue, without a worker; Redis does not, and its workers do (services/notify/tasks.py).
# A length and not the deadline, because another machine's clock has set the deadline. otp stores a code's text before
# it publishes the code, and the text expires with the code. So what the broker drops could not have been sent.
KEPT_FOR: dict[type[Message], timedelta] = {SendSmsCode: CODE_LIVES_FOR}

_BY_TYPE: dict[str, type[Message]] = {kind.TYPE: kind for kind in ROUTES}
# Reading them costs as much as all the rest.
_HINTS = {kind: get_type_hints(kind) for kind in ROUTES}
_NAMES = {kind: tuple(field.name for field in dataclasses.fields(kind)) for kind in ROUTES}
_REQUIRED = object()
_DEFAULTS = {
    kind: {field.name: field.default for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}
    for kind in ROUTES
}
_compact = json.JSONEncoder(separators=(",", ":")).encode
VERSION = 1


class UnreadableMessage(Exception):  # noqa: N818
    """Not a message of ours, or of a version that we do not speak."""


def encode(message: Message) -> dict[str, Any]:
    """A message as JSON-ready members.

    A member that has its default is left out: a release that does not know it yet reads the message all the same.
    """
    defaults = _DEFAULTS[type(message)]
    body = {
        name: rfc3339(value) if isinstance(value, datetime) else value
        for name in _NAMES[type(message)]
        if (value := getattr(message, name)) != defaults.get(name, _REQUIRED)
    }
    return {"type": message.TYPE, "version": VERSION, **body}


def decode(document: object) -> Message:
    """The message that encode wrote. Raises UnreadableMessage for anything else."""
    if not isinstance(document, dict):
        raise UnreadableMessage("not an object")
    body = dict(document)
    kind, version = body.pop("type", None), body.pop("version", None)
    if not isinstance(kind, str) or kind not in _BY_TYPE or version != VERSION:
        raise UnreadableMessage(f"unknown message {kind!r} version {version!r}")
    message_type = _BY_TYPE[kind]
    hints = _HINTS[message_type]
    if unknown := body.keys() - _NAMES[message_type]:
        raise UnreadableMessage(f"{kind} has unknown members {sorted(unknown)}")
    try:
        members: dict[str, Any] = {name: _typed(hints[name], value) for name, value in body.items()}
        return message_type(**members)
    except (TypeError, ValueError) as error:
        raise UnreadableMessage(f"{kind}: {error}") from error


def batch_of(document: object) -> list[object]:
    """The documents in an event queue's document, which is one message or a list of them."""
    return document if isinstance(document, list) and document else [document]


def compact(document: object) -> str:
    """One JSON text without blanks."""
    return _compact(document)


def _typed(hint: Any, value: object) -> object:  # noqa: ANN401 - a type hint
    if hint is datetime:
        if not isinstance(value, str):
            raise TypeError("a time must be text")
        return parse_rfc3339(value)
    if get_origin(hint) is tuple:  # of texts; JSON has lists only
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise TypeError(f"expected {hint}")
        return tuple(value)
    allowed = get_args(hint) if get_origin(hint) in {UnionType, Union} else (hint,)
    if not isinstance(value, allowed) or isinstance(value, bool):
        raise TypeError(f"expected {hint}")
    return value
