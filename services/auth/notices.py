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

    ``extra_phones`` are told besides (the number that was just replaced). ``values`` fill the text of this kind.
    """
    notice = notice_texts.render(kind, origin=deps.settings.public_origin, at=now, **values)
    deadline = now + NOTICE_LIFE

    def sealed(recipient: str, subject: str | None, body: str) -> str:
        return Envelope(account.id, recipient, subject, body, deadline).seal(deps.settings.notify_public_key)

    def record(kind_of_message: type[SendSmsNotice | SendEmailNotice], text: str) -> None:
        message_id = new_id("msg")
        outbox.record(
            connection,
            BOX,
            kind_of_message(id=message_id, occurred_at=now, message_id=message_id, sealed=text, deadline=deadline),
            deps.signer,
        )

    own = () if account.phone is None else (account.phone,)
    for phone in dict.fromkeys((*own, *extra_phones)):
        record(SendSmsNotice, sealed(phone.e164, None, notice.sms))
    record(SendEmailNotice, sealed(account.email, notice.subject, notice.email))
