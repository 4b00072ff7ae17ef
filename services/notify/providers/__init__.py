"""What the courier asks of a provider, and how a provider says no. A vendor is one file in this folder.

router.py chooses among the SMS providers, and state.py holds what all workers know of them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.notify.domain.spoken import Script
from shared.delivery_reasons import DeliveryReason
from shared.phone import PhoneNumber


@dataclass(frozen=True, slots=True, repr=False)
class SmsMessage:
    """One SMS. ``valid_for_seconds`` is what is left of its life; only codes ask for the carrier's receipts."""

    message_id: str
    to: PhoneNumber
    body: str
    valid_for_seconds: int
    wants_receipt: bool

    def __repr__(self) -> str:
        return f"SmsMessage(message_id={self.message_id!r}, to={self.to}, ***)"


@dataclass(frozen=True, slots=True, repr=False)
class CallMessage:
    """One call that says a code."""

    message_id: str
    to: PhoneNumber
    script: Script

    def __repr__(self) -> str:
        return f"CallMessage(message_id={self.message_id!r}, to={self.to}, ***)"


@dataclass(frozen=True, slots=True, repr=False)
class EmailMessage:
    """One email. ``language`` is the one that it is written in; None is English."""

    message_id: str
    to: str
    subject: str
    body: str
    written_at: datetime
    language: str | None = None

    def __repr__(self) -> str:
        return f"EmailMessage(message_id={self.message_id!r}, ***)"


class SmsProvider(Protocol):
    """Hands an SMS to a carrier, and makes calls where ``makes_calls`` says so."""

    @property
    def name(self) -> str:
        """The name in settings, logs, events and receipts."""

    @property
    def idempotent(self) -> bool:
        """Whether the same message id twice is one SMS there."""

    @property
    def makes_calls(self) -> bool:
        """Whether it makes calls."""

    def send(self, message: SmsMessage) -> str:
        """Send it; the provider's own id. Raises ProviderUnavailable, ProviderMisconfigured, RecipientRejected."""

    def call(self, message: CallMessage) -> str:
        """Call; the provider's own id. Raises as ``send`` does."""


class EmailProvider(Protocol):
    """Hands an email to a mail server."""

    @property
    def name(self) -> str:
        """The name in logs."""

    def send(self, message: EmailMessage) -> str:
        """Send it; the provider's own id. Raises like SmsProvider.send."""


class ProviderUnavailable(Exception):  # noqa: N818
    """It did not work now and may work later. ``detail`` is for logs: no number, no text.

    ``maybe_sent``: the provider may have taken the message before the answer was lost (domain/routing.py).
    """

    reason = DeliveryReason.PROVIDER_DOWN

    def __init__(self, detail: str, *, maybe_sent: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.maybe_sent = maybe_sent


class ProviderMisconfigured(ProviderUnavailable):
    """Our own fault: credentials, sender, account. Tried again like an outage, since an operator can mend it."""

    reason = DeliveryReason.OUR_FAULT


class RecipientRejected(Exception):  # noqa: N818
    """This recipient won't get it, however often we try. It says nothing about the provider's health."""

    def __init__(self, reason: DeliveryReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
