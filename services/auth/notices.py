"""Telling the owner, in the account's language: every notice is sealed for notify and recorded with its change.

Equal notices of a few minutes become one. The first goes at once. The second waits in the outbox until the minutes are
over, and each further one takes its place there with a higher number.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.auth import phone_numbers
from services.auth.deps import WorkerDeps
from services.auth.domain import notice_texts
from services.auth.domain.account import Account
from services.auth.domain.notice_texts import Kind, Notice
from services.auth.limits import MERGED_NOTICE_WAITS, NOTICE_LIFE, NOTICES_MERGED_FOR
from services.auth.models import BOX
from services.auth.store import notice_series
from shared import outbox
from shared.envelope import Envelope
from shared.ids import new_id
from shared.messages import SendEmailNotice, SendSmsNotice
from shared.phone import PhoneNumber
from shared.sending_budgets import Kind as Charged
from shared.texts.languages import ours

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
        Kind.LANGUAGE_CHANGED,
        # Not a change, but charged like one: as news, this link could be held back by the notices that a stranger
        # causes. Its own limits keep it to 12 mails an hour, so it leaves the changes their room.
        Kind.CONFIRM_BROWSER,
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


# Replaces the time of a notice when notices are compared, because equal occasions differ in it.
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def charged_as(kind: Kind) -> Charged:
    """What the text and the mail of this occasion are charged to (shared/sending_budgets.py)."""
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
    """Record a notice by email and, where a cell phone is proven, by SMS, in the caller's transaction.

    ``extra_phones`` are told besides (the number that was just replaced), and first, because they may be the owner's
    when the new one is not. ``values`` fill the text of this kind.

    A notice that equals one of the last minutes but for its time is counted, and one more notice says how many there
    were. Those of ``notice_texts.FROM_ANYWHERE`` are equal from whatever address and browser, too.
    """
    telling = _Telling(connection, deps, account, kind, now, values)
    own = () if account.phone is None else (account.phone,)
    for phone in dict.fromkeys((*extra_phones, *own)):
        if not phone_numbers.is_landline(phone):  # the mail tells
            telling.text(phone)
    telling.mail()


def mail(
    connection: Connection,
    deps: WorkerDeps,
    account: Account,
    kind: Kind,
    now: datetime,
    *,
    deadline: datetime,
    **values: object,
) -> None:
    """Record a notice by email alone, in the caller's transaction. It is not sent after ``deadline``."""
    _Telling(connection, deps, account, kind, now, values, deadline).mail()


@dataclass(frozen=True, slots=True)
class _Telling:
    """One occasion, told to each recipient on its channel."""

    connection: Connection
    deps: WorkerDeps
    account: Account
    kind: Kind
    at: datetime
    values: Mapping[str, object]
    deadline: datetime | None = None

    @property
    def _language(self) -> str:
        return ours(self.account.language)

    def text(self, phone: PhoneNumber) -> None:
        """Tell this phone."""
        charged = charged_as(self.kind)

        def make(notice: Notice) -> SendSmsNotice:
            return SendSmsNotice(**self._members(phone.e164, None, notice.sms), kind=charged)

        self._record(phone.e164, self._compared().sms, make)

    def mail(self) -> None:
        """Tell the account's address."""
        address, charged = self.account.email, charged_as(self.kind)

        def make(notice: Notice) -> SendEmailNotice:
            return SendEmailNotice(**self._members(address, notice.subject, notice.email), kind=charged)

        self._record(address, self._compared().email, make)

    def _record(self, recipient: str, body: str, make: Callable[[Notice], SendSmsNotice | SendEmailNotice]) -> None:
        connection, deps, account_id = self.connection, self.deps, self.account.id
        if self.kind in notice_texts.HAS_LINK:
            outbox.record(connection, BOX, make(self._rendered(self.values)), deps.signer)
            return
        content = f"{self.kind}\0{recipient}\0{body}"
        fingerprint = hashlib.sha256(content.encode()).hexdigest()
        series = notice_series.count(connection, account_id, fingerprint, deps.clock(), NOTICES_MERGED_FOR)
        message = make(self._rendered(self.values, series.times))
        if series.times == 1:
            outbox.record(connection, BOX, message, deps.signer)
            return
        due, waiting = series.ends_at + MERGED_NOTICE_WAITS, series.position
        if waiting is None or not outbox.replace(connection, BOX, waiting, message, deps.signer, not_before=due):
            position = outbox.record_for_later(connection, BOX, message, deps.signer, not_before=due)
            notice_series.set_position(connection, account_id, fingerprint, position)

    def _compared(self) -> Notice:
        """What equal occasions have in common, besides their times."""
        places = {"ip": "", "browser": ""} if self.kind in notice_texts.FROM_ANYWHERE else {}
        return self._rendered({**self.values, **places}, at=_ANY_TIME)

    def _rendered(self, values: Mapping[str, object], times: int = 1, *, at: datetime | None = None) -> Notice:
        settings = self.deps.settings
        wording = settings.wordings[self._language]
        return wording.render(self.kind, origin=settings.public_origin, at=at or self.at, times=times, **values)

    def _members(self, recipient: str, subject: str | None, body: str) -> dict[str, Any]:
        message_id, deadline = new_id("msg"), self.deadline or self.at + NOTICE_LIFE
        language = None if subject is None else self._language  # an SMS needs none
        envelope = Envelope(self.account.id, recipient, subject, body, deadline, language=language)
        sealed = envelope.seal(self.deps.settings.notify_public_key)
        return {
            "id": message_id,
            "occurred_at": self.at,
            "message_id": message_id,
            "sealed": sealed,
            "deadline": deadline,
        }
