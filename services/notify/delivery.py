"""Deliver an SMS code: claim it, send it, record it, report it (the claim check).

Same ``message_id`` twice = one SMS, unless a worker died between the provider's answer and its record: then a second
copy is the lesser evil. A code that never comes locks its owner out; one that comes twice does not.
"""

from datetime import datetime

import structlog

from services.notify.deps import Deps
from services.notify.domain.retries import DONE, Done, Outcome, hop
from services.notify.events import publish_change
from services.notify.providers import SmsMessage
from services.notify.providers.router import CODE, GivenUp, Later, Sent
from services.notify.recording import insist
from shared import delivery
from shared.clock import after
from shared.delivery import Claimed, DeliveryStatus, Held, Overdue, Settled
from shared.delivery_reasons import DeliveryReason
from shared.envelope import Envelope, open_envelope
from shared.messages import SendSmsCode
from shared.phone import PhoneNumber
from shared.sealing import CannotOpen

# Asked again this long after a lease ends, so that the answer is not "held" once more.
_AFTER_LEASE_SECONDS = 0.1

log = structlog.get_logger("notify.delivery")


def deliver(deps: Deps, command: SendSmsCode) -> Outcome:
    """Send the code unless it is sent, overdue, or its text was withdrawn. Raises RedisError."""
    match delivery.claim(deps.redis, command.message_id, deps.clock(), command.deadline):
        case Claimed() as claimed:
            return _open_and_send(deps, command, claimed)
        case Held(wait_seconds):
            return hop(wait_seconds + _AFTER_LEASE_SECONDS)
        case Overdue(account_id):
            log.warning("sms code overdue", message_id=command.message_id)
            publish_change(deps, command.message_id, account_id, DeliveryStatus.EXPIRED, DeliveryReason.TOO_LATE, None)
        case Settled(status):
            log.info("sms code not sent", message_id=command.message_id, status=status)
    return DONE


def _open_and_send(deps: Deps, command: SendSmsCode, claimed: Claimed) -> Outcome:
    try:
        envelope = open_envelope(deps.private_keys, claimed.sealed)
        to = PhoneNumber(envelope.recipient)
    except (CannotOpen, ValueError) as error:
        # The error's text is ours and shows no content; a ValueError's might.
        detail = str(error) if isinstance(error, CannotOpen) else "the recipient is not an E.164 number"
        log.error("sms code unreadable", message_id=command.message_id, detail=detail)  # noqa: TRY400
        return _give_up(deps, command, None, GivenUp(None, DeliveryReason.OUR_FAULT))
    return _send(deps, command, claimed, envelope, to)


def _send(deps: Deps, command: SendSmsCode, claimed: Claimed, envelope: Envelope, to: PhoneNumber) -> Outcome:
    began = deps.clock()
    message = SmsMessage(
        message_id=command.message_id,
        to=to,
        body=envelope.body,
        valid_for_seconds=int((envelope.expires_at - began).total_seconds()),
        wants_receipt=True,
    )
    match deps.sms.send(message, min(command.deadline, envelope.expires_at), CODE):
        case Later(seconds):
            now = deps.clock()
            delivery.release(deps.redis, command.message_id, claimed, now, after(now, seconds))
            return hop(seconds)
        case GivenUp() as given_up:
            return _give_up(deps, command, envelope.account_id, given_up)
        case Sent() as sent:
            log.info(
                "sms code sent",
                message_id=command.message_id,
                provider=sent.provider,
                provider_message_id=sent.provider_message_id,
                confirmed=sent.confirmed,
                attempt=claimed.attempt,
                phone=to.masked(),
                age_ms=_milliseconds(command.occurred_at, began),
                took_ms=_milliseconds(began, deps.clock()),
            )
            _record_sent(deps, command, envelope, sent)
    return DONE


def _give_up(deps: Deps, command: SendSmsCode, account_id: str | None, given_up: GivenUp) -> Done:
    now, failed, reason = deps.clock(), DeliveryStatus.FAILED, given_up.reason
    if delivery.advance(deps.redis, command.message_id, failed, now, reason=reason, account_id=account_id):
        owner = account_id or delivery.account_of(deps.redis, command.message_id)
        publish_change(deps, command.message_id, owner, failed, reason, given_up.provider)
    return DONE


def _record_sent(deps: Deps, command: SendSmsCode, envelope: Envelope, sent: Sent) -> None:
    status, account_id = DeliveryStatus.SENT, envelope.account_id
    reason = None if sent.confirmed else DeliveryReason.PROVIDER_DOWN

    def record() -> bool:
        now = deps.clock()
        return delivery.advance(deps.redis, command.message_id, status, now, reason=reason, account_id=account_id)

    if insist(deps, command.message_id, record):
        publish_change(deps, command.message_id, account_id, status, reason, sent.provider)


def _milliseconds(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds() * 1000)
