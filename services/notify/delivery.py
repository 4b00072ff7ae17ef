"""Deliver a code by SMS or by a call: claim it, send it, record it (the claim check).

Same ``message_id`` twice = one SMS, unless a worker died between the provider's answer and its record: then a second
copy is the lesser evil. A code that never comes locks its owner out; one that comes twice does not.
"""

from datetime import datetime

import structlog

from services.notify.deps import Deps
from services.notify.domain import spoken
from services.notify.domain.retries import DONE, Done, Outcome, hop
from services.notify.providers import CallMessage, SmsMessage
from services.notify.providers.router import CODE, GivenUp, Later, Sent
from services.notify.providers.state import Known
from services.notify.recording import insist
from shared import delivery
from shared.channel import Channel
from shared.clock import after
from shared.delivery import Claimed, DeliveryStatus, Held, Overdue, Settled
from shared.delivery_reasons import DeliveryReason
from shared.envelope import Envelope, open_envelope
from shared.lua import together
from shared.messages import SendSmsCode
from shared.phone import PhoneNumber
from shared.sealing import CannotOpen
from shared.signing import SignatureRefused

# Asked again this long after a lease ends, so that the answer is not "held" once more.
_AFTER_LEASE_SECONDS = 0.1

log = structlog.get_logger("notify.delivery")


def deliver(deps: Deps, command: SendSmsCode) -> Outcome:
    """Send the code unless it is sent, overdue, or its text was withdrawn. Raises RedisError."""
    claim = delivery.claiming(command.message_id, deps.clock(), command.deadline)
    claimed, known = together(deps.redis, claim, deps.sms.asking(command.message_id))
    match claimed:
        case Claimed():
            return _open_and_send(deps, command, claimed, known)
        case Held(wait_seconds):
            return hop(wait_seconds + _AFTER_LEASE_SECONDS)
        case Overdue() | Settled():
            log_not_sent(command.message_id, claimed)
    return DONE


def log_not_sent(message_id: str, claimed: Overdue | Settled) -> None:
    """For whoever looks why a code did not come."""
    match claimed:
        case Overdue():
            log.warning("sms code overdue", message_id=message_id)
        case Settled(status):
            log.info("sms code not sent", message_id=message_id, status=status)


def _open_and_send(deps: Deps, command: SendSmsCode, claimed: Claimed, known: Known) -> Outcome:
    try:
        claimed.text.require_sender(deps.verifier, command.message_id)
        envelope = open_envelope(deps.private_keys, claimed.text.sealed)
        to = PhoneNumber(envelope.recipient)
    except (SignatureRefused, CannotOpen, ValueError) as error:
        # The error's text is ours and shows no content; a ValueError's might.
        ours = isinstance(error, SignatureRefused | CannotOpen)
        detail = str(error) if ours else "the recipient is not an E.164 number"
        log.error("sms code unreadable", message_id=command.message_id, detail=detail)  # noqa: TRY400
        return _give_up(deps, command, None, GivenUp(None, DeliveryReason.OUR_FAULT))
    return _send(deps, command, claimed, envelope, _message(deps, command, envelope, to), known)


def _message(deps: Deps, command: SendSmsCode, envelope: Envelope, to: PhoneNumber) -> SmsMessage | CallMessage:
    if envelope.channel is Channel.CALL:
        script = spoken.write(envelope.subject or "", envelope.language, envelope.body, spoken.new_keys())
        return CallMessage(command.message_id, to, script)
    return SmsMessage(
        message_id=command.message_id,
        to=to,
        body=envelope.body,
        valid_for_seconds=int((envelope.expires_at - deps.clock()).total_seconds()),
        wants_receipt=True,
    )


def _send(
    deps: Deps,
    command: SendSmsCode,
    claimed: Claimed,
    envelope: Envelope,
    message: SmsMessage | CallMessage,
    known: Known,
) -> Outcome:
    began = deps.clock()
    match deps.sms.send(message, min(command.deadline, envelope.expires_at), CODE, known):
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
                channel=envelope.channel,
                provider=sent.provider,
                provider_message_id=sent.provider_message_id,
                confirmed=sent.confirmed,
                attempt=claimed.attempt,
                phone=message.to.masked(),
                age_ms=_milliseconds(command.occurred_at, began),
                took_ms=_milliseconds(began, deps.clock()),
            )
            _record_sent(deps, command, envelope, sent)
    return DONE


def _give_up(deps: Deps, command: SendSmsCode, account_id: str | None, given_up: GivenUp) -> Done:
    delivery.advancing(
        command.message_id,
        DeliveryStatus.FAILED,
        deps.clock(),
        reason=given_up.reason,
        provider=given_up.provider,
        account_id=account_id,
    ).run(deps.redis)
    return DONE


def _record_sent(deps: Deps, command: SendSmsCode, envelope: Envelope, sent: Sent) -> None:
    def record() -> None:
        advance = delivery.advancing(
            command.message_id,
            DeliveryStatus.SENT,
            deps.clock(),
            reason=None if sent.confirmed else DeliveryReason.PROVIDER_DOWN,
            provider=sent.provider,
            account_id=envelope.account_id,
        )
        together(deps.redis, advance, sent.sample)

    insist(deps, command.message_id, record)


def _milliseconds(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds() * 1000)
