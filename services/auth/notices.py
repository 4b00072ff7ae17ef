"""Telling the owner: every notice is sealed for notify and recorded with the change that it reports."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from services.auth.deps import WorkerDeps
from services.auth.domain import notice_texts
from services.auth.domain.account import Account
from services.auth.domain.notice_texts import Kind
from services.auth.limits import NOTICE_LIFE
from services.auth.models import BOX
from shared import outbox
from shared.envelope import Envelope
from shared.ids import new_id
from shared.messages import SendEmailNotice, SendSmsNotice
from shared.phone import PhoneNumber
from shared.sending_budgets import Kind as Charged

# A stranger with the password can cause other notices, such as that of wrong codes. They are news, so that the stranger
# cannot use up what tells of these changes.
_CHANGES = frozenset(
    {
        Kind.TWO_FACTOR_ON,
        Kind.TWO_FACTOR_OFF,
        Kind.RECOVERY_CODES_REGENERATED,
        Kind.PASSWORD_CHANGED,
        Kind.PHONE_CHANGED,
        Kind.PHONE_REMOVED,
    }
)
# Only support can cause these, so the thief of a session cannot use them up.
_CEREMONY = frozenset(
    {
        Kind.IDENTITY_PHONE,
        Kind.IDENTITY_EMAIL,
        Kind.IDENTITY_OWNER,
        Kind.OWNER_ASKED,
        Kind.RESET_REQUESTED,
        Kind.RESET_APPROVED_ONCE,
        Kind.RESET_SCHEDULED,
        Kind.RESET_STARTED,
        Kind.RESET_APPLIED,
        Kind.RESET_CANCELLED,
        Kind.RESET_ENDED,
        Kind.NEW_ENROLLMENT_WORD,
    }
)


def charged_as(kind: Kind) -> Charged:
    """What the text of this occasion is charged to (shared/sending_budgets.py)."""
    if kind in _CEREMONY:
        return Charged.CEREMONY
    return Charged.SECURITY if kind in _CHANGES else Charged.NEWS


def tell(
    connection: Connection,
    deps: WorkerDeps,
    account: Account,
    kind: Kind,
    now: datetime,
    *,
    extra_phones: Iterable[PhoneNumber] = (),
    **values: object,
) -> None:
    """Record a notice by email and, where a phone is proven, by SMS, in the caller's transaction.

    ``extra_phones`` are told besides (the number that was just replaced), and first, because they may be the owner's
    when the new one is not. ``values`` fill the text of this kind.
    """
    notice = notice_texts.render(kind, origin=deps.settings.public_origin, at=now, **values)
    deadline = now + NOTICE_LIFE

    def sealed(recipient: str, subject: str | None, body: str) -> str:
        return Envelope(account.id, recipient, subject, body, deadline).seal(deps.settings.notify_public_key)

    def record(kind_of_message: type[SendSmsNotice | SendEmailNotice], text: str, **more: str) -> None:
        message_id = new_id("msg")
        message = kind_of_message(
            id=message_id, occurred_at=now, message_id=message_id, sealed=text, deadline=deadline, **more
        )
        outbox.record(connection, BOX, message, deps.signer)

    own = () if account.phone is None else (account.phone,)
    for phone in dict.fromkeys((*extra_phones, *own)):
        record(SendSmsNotice, sealed(phone.e164, None, notice.sms), kind=charged_as(kind))
    record(SendEmailNotice, sealed(account.email, notice.subject, notice.email))
