"""Deliver a notice to an account's owner, by SMS or by email.

Notices have a long deadline and no hurry. A delay longer than one hop is kept in the store as "not before", and the
task comes round in short hops until then.
"""

from collections.abc import Callable
from typing import Any

import structlog

from services.notify import notice_store
from services.notify.deps import Deps
from services.notify.domain.retries import DONE, NOTICE_DELAYS, Done, Outcome, hop, next_attempt
from services.notify.notice_store import Claimed, Settled
from services.notify.providers import (
    EmailMessage,
    ProviderMisconfigured,
    ProviderUnavailable,
    RecipientRejected,
    SmsMessage,
)
from services.notify.recording import insist
from shared.clock import after
from shared.delivery import Held
from shared.delivery_reasons import DeliveryReason
from shared.envelope import Envelope, open_envelope
from shared.messages import SendEmailNotice, SendSmsNotice
from shared.phone import PhoneNumber
from shared.sealing import CannotOpen

Notice = SendSmsNotice | SendEmailNotice

log = structlog.get_logger("notify.notices")


def deliver_notice(deps: Deps, command: Notice) -> Outcome:
    """Send the notice unless it was sent or is overdue. Raises RedisError."""
    now = deps.clock()
    facts = log.bind(message_id=command.message_id, channel=command.TYPE)
    if now >= command.deadline:
        facts.warning("notice overdue")
        return DONE
    match notice_store.claim(deps.redis, command.message_id, now, command.deadline):
        case Claimed(attempt):
            return _send(deps, command, facts.bind(attempt=attempt), attempt)
        case Held(wait_seconds):
            return hop(wait_seconds)
        case Settled():
            facts.info("notice not sent again")
    return DONE


def _send(deps: Deps, command: Notice, facts: Any, attempt: int) -> Outcome:  # noqa: ANN401 - a bound logger
    try:
        envelope = open_envelope(deps.private_keys, command.sealed)
        provider_message_id = _CHANNELS[type(command)](deps, command, envelope)
    except CannotOpen as error:
        facts.error("notice unreadable", detail=str(error))
        return _settle(deps, command)
    except RecipientRejected as error:
        facts.warning("notice refused", reason=error.reason, detail=error.detail)
        return _settle(deps, command)
    except ProviderUnavailable as error:
        level = facts.error if isinstance(error, ProviderMisconfigured) else facts.warning
        level("notice provider failed", detail=error.detail, possible_duplicate=error.maybe_sent)
        return _try_later(deps, command, facts, attempt)
    facts.info("notice sent", provider_message_id=provider_message_id)
    return _settle(deps, command)


def _try_later(deps: Deps, command: Notice, facts: Any, attempt: int) -> Outcome:  # noqa: ANN401 - a bound logger
    now = deps.clock()
    delay = next_attempt(attempt, now, command.deadline, NOTICE_DELAYS)
    if delay is None:
        facts.error("notice given up")
        return _settle(deps, command)
    notice_store.postpone(deps.redis, command.message_id, after(now, delay))
    return hop(delay)


def _settle(deps: Deps, command: Notice) -> Done:
    insist(deps, command.message_id, lambda: notice_store.settle(deps.redis, command.message_id))
    return DONE


def _by_sms(deps: Deps, command: Notice, envelope: Envelope) -> str:
    try:
        to = PhoneNumber(envelope.recipient)
    except ValueError:
        raise RecipientRejected(DeliveryReason.NUMBER_REFUSED, "not an E.164 number") from None
    left = int((command.deadline - deps.clock()).total_seconds())
    return deps.sms.send(SmsMessage(command.message_id, to, envelope.body, left, wants_receipt=False))


def _by_email(deps: Deps, command: Notice, envelope: Envelope) -> str:
    subject = envelope.subject or ""
    return deps.email.send(
        EmailMessage(command.message_id, envelope.recipient, subject, envelope.body, command.occurred_at)
    )


_CHANNELS: dict[type[Notice], Callable[[Deps, Notice, Envelope], str]] = {
    SendSmsNotice: _by_sms,
    SendEmailNotice: _by_email,
}
