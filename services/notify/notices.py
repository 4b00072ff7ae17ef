"""Deliver a notice to an account's owner, by SMS or by email, within its budgets.

A notice over budget is not sent. auth adds an entry to the timeline for it, and what a text would have said is in the
mail, because the two are recorded together.

Notices have a long deadline and no hurry. A delay longer than one hop is kept in the store as "not before", and the
task comes round in short hops until then.
"""

from typing import Any

import structlog

from services.notify import notice_store
from services.notify.deps import Deps
from services.notify.domain.retries import DONE, NOTICE_DELAYS, Done, Outcome, hop, next_attempt
from services.notify.notice_store import Bill, Claimed, OverBudget, Settled
from services.notify.providers import (
    EmailMessage,
    ProviderMisconfigured,
    ProviderUnavailable,
    RecipientRejected,
    SmsMessage,
)
from services.notify.providers.router import NOTICE, GivenUp, Later, Sent
from services.notify.recording import insist
from shared import sending_budgets
from shared.clock import after
from shared.delivery import Held
from shared.email_address import email_key
from shared.envelope import Envelope, open_envelope
from shared.messages import SendEmailNotice, SendSmsNotice
from shared.phone import PhoneNumber
from shared.sealing import CannotOpen
from shared.sending_budgets import Kind

Notice = SendSmsNotice | SendEmailNotice

log = structlog.get_logger("notify.notices")


def deliver_notice(deps: Deps, command: Notice) -> Outcome:
    """Send the notice unless it was sent or is overdue. Raises RedisError."""
    now = deps.clock()
    facts = log.bind(message_id=command.message_id, channel=command.TYPE)
    if now >= command.deadline:
        facts.warning("notice overdue")
        return DONE
    envelope = _open(deps, command)
    bill = None if isinstance(envelope, CannotOpen) else _bill(deps, command, envelope)
    match notice_store.claim(deps.redis, command.message_id, now, command.deadline, bill):
        case Claimed(attempt):
            return _send(deps, command, envelope, facts.bind(attempt=attempt), attempt)
        case Held(wait_seconds):
            return hop(wait_seconds)
        case OverBudget():
            facts.warning("notice over budget")
        case Settled():
            facts.info("notice not sent again")
    return DONE


def _open(deps: Deps, command: Notice) -> Envelope | CannotOpen:
    try:
        return open_envelope(deps.private_keys, command.sealed)
    except CannotOpen as error:
        return error


def _bill(deps: Deps, command: Notice, envelope: Envelope) -> Bill | None:
    """What it is charged to; None for a number that is none, because it is not sent."""
    key = deps.private_keys.newest
    kind = Kind(command.kind) if command.kind in sending_budgets.MAILS else Kind.NEWS  # a later release may have more
    if isinstance(command, SendEmailNotice):
        address = key.mac("address in budgets", email_key(envelope.recipient))
        return Bill(envelope.account_id, "email", sending_budgets.charges_of_mail(kind, envelope.account_id, address))
    try:
        phone = PhoneNumber(envelope.recipient)
    except ValueError:
        return None
    digest = key.mac("phone in budgets", phone.e164)
    charges = sending_budgets.charges_of_notice(kind, envelope.account_id, digest, phone.prefix(), deps.sms_daily_cap)
    return Bill(envelope.account_id, "sms", charges)


def _send(
    deps: Deps,
    command: Notice,
    envelope: Envelope | CannotOpen,
    facts: Any,  # noqa: ANN401 - a bound logger
    attempt: int,
) -> Outcome:
    if isinstance(envelope, CannotOpen):
        facts.error("notice unreadable", detail=str(envelope))
        return _settle(deps, command)
    if isinstance(command, SendSmsNotice):
        return _by_sms(deps, command, envelope, facts)
    return _by_email(deps, command, envelope, facts, attempt)


def _by_sms(deps: Deps, command: SendSmsNotice, envelope: Envelope, facts: Any) -> Outcome:  # noqa: ANN401
    try:
        to = PhoneNumber(envelope.recipient)
    except ValueError:
        facts.warning("notice refused", detail="not an E.164 number")
        return _settle(deps, command)
    left = int((envelope.expires_at - deps.clock()).total_seconds())
    message = SmsMessage(command.message_id, to, envelope.body, left, wants_receipt=False)
    known = deps.sms.asking(command.message_id).run(deps.redis)
    match deps.sms.send(message, min(command.deadline, envelope.expires_at), NOTICE, known):
        case Later(seconds):
            return _postpone(deps, command, seconds)
        case GivenUp(provider, reason):
            facts.warning("notice given up", provider=provider, reason=reason)
        case Sent(provider, sample, provider_message_id, confirmed):
            facts.info("notice sent", provider=provider, provider_message_id=provider_message_id, confirmed=confirmed)
            deps.sms.remember(sample)
    return _settle(deps, command)


def _by_email(
    deps: Deps,
    command: SendEmailNotice,
    envelope: Envelope,
    facts: Any,  # noqa: ANN401
    attempt: int,
) -> Outcome:
    letter = EmailMessage(
        command.message_id,
        envelope.recipient,
        envelope.subject or "",
        envelope.body,
        command.occurred_at,
        envelope.language,
    )
    try:
        provider_message_id = deps.email.send(letter)
    except RecipientRejected as error:
        facts.warning("notice refused", reason=error.reason, detail=error.detail)
    except ProviderUnavailable as error:
        level = facts.error if isinstance(error, ProviderMisconfigured) else facts.warning
        level("notice provider failed", detail=error.detail, possible_duplicate=error.maybe_sent)
        delay = next_attempt(attempt, deps.clock(), command.deadline, NOTICE_DELAYS)
        if delay is not None:
            return _postpone(deps, command, delay)
        facts.error("notice given up")
    else:
        facts.info("notice sent", provider_message_id=provider_message_id)
    return _settle(deps, command)


def _postpone(deps: Deps, command: Notice, seconds: float) -> Outcome:
    notice_store.postpone(deps.redis, command.message_id, after(deps.clock(), seconds))
    return hop(seconds)


def _settle(deps: Deps, command: Notice) -> Done:
    insist(deps, command.message_id, lambda: notice_store.settle(deps.redis, command.message_id))
    return DONE
