"""Send a code by SMS: a claim check. otp mints, seals and signs, auth publishes the id, notify opens and sends."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.otp import sms_guard, sms_store, store
from services.otp.deps import Deps
from services.otp.domain import sms_text
from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import PURPOSES, Purpose
from services.otp.limits import SMS_RESEND, failure_rows, spent_row
from services.otp.sms_store import LivePasscode, Slot
from shared.channel import Channel
from shared.database import reading
from shared.deadline import require_time
from shared.envelope import Envelope
from shared.ids import new_id
from shared.phone import PhoneNumber
from shared.problems import Refusal, Unavailable
from shared.sealed_text import SealedText


@dataclass(frozen=True, slots=True)
class RequestSms:
    """Send a passcode to this phone, good for this purpose and binding only, by a text or by a call.

    ``language`` is that of the text or the call; English if it is not one of ours. ``device_id`` names a device that
    auth remembers, as in Verify.
    """

    account_id: str
    purpose: Purpose
    binding: str
    phone: PhoneNumber
    device_id: str | None = None
    channel: Channel = Channel.SMS
    language: str | None = None


@dataclass(frozen=True, slots=True)
class SmsChallenge:
    """What auth publishes (``message_id``, ``deadline``) and what the page shows. The passcode is in none of it."""

    message_id: str
    reference: str
    phone_hint: str
    expires_at: datetime
    resend_after: datetime
    deadline: datetime


def request(deps: Deps, command: RequestSms) -> SmsChallenge:
    """Mint a passcode, keep its digest, leave the sealed text for notify.

    A send whose caller has given up is uncounted. Raises two_factor_off and second_factor_locked (for login),
    too_many_requests, sms_unavailable.
    """
    _require_open(deps, command)
    slot = Slot(command.account_id, command.purpose, command.binding)
    device_known = command.device_id is not None
    permit = sms_guard.take(deps, slot, command.phone, device_known=device_known, channel=command.channel)

    now = deps.clock()
    passcode, reference, message_id = sms_text.new_passcode(), sms_text.new_reference(), new_id("sms")
    expires_at = now + sms_text.LIVES_FOR
    key = deps.digest_keys.newest
    new = LivePasscode(
        message_id,
        key.id,
        slot.digest(key, message_id, passcode),
        expires_at,
        permit.phone,
        permit.prefix,
        permit.probe,
        device_known,
        permit.weighed,
        command.channel,
    )
    envelope = _envelope(deps, command, passcode, reference, expires_at)
    deadline = expires_at - sms_text.LAST_USEFUL_SEND
    text = SealedText.sign(deps.signer, message_id, envelope.seal(deps.notify_public_key), deadline)
    try:
        require_time()
    except Unavailable:
        sms_guard.give_back(deps, slot, new)
        raise
    sms_store.put(deps.redis, slot, new, text, earlier=permit.live, now=now)
    return SmsChallenge(
        message_id=message_id,
        reference=reference,
        phone_hint=command.phone.masked(),
        expires_at=expires_at,
        resend_after=now + timedelta(seconds=SMS_RESEND.windows[0].seconds),
        deadline=deadline,
    )


def _envelope(deps: Deps, command: RequestSms, passcode: Passcode, reference: str, expires_at: datetime) -> Envelope:
    """What notify sends. A call has the digits alone, because the courier says the sentences around them."""
    is_call = command.channel is Channel.CALL
    said = passcode, reference, command.language
    text = passcode.digits if is_call else sms_text.render(deps.issuer, deps.sms_host, *said)
    return Envelope(
        account_id=command.account_id,
        recipient=command.phone.e164,
        subject=deps.issuer if is_call else None,
        body=text,
        expires_at=expires_at,
        channel=command.channel,
        language=command.language if is_call else None,
    )


def withdraw(deps: Deps, slot: Slot, message_id: str) -> None:
    """Take back what could not be published: passcode and text die, and what the send was counted under is returned."""
    withdrawn = sms_store.withdraw(deps.redis, slot, message_id)
    if withdrawn is not None:
        sms_guard.give_back(deps, slot, withdrawn)


def _require_open(deps: Deps, command: RequestSms) -> None:
    if not PURPOSES[command.purpose].second_factor:
        return
    with reading(deps.database) as connection:
        state = store.read_state(connection, command.account_id)
    if state.authenticator is None:  # SMS is never the only factor
        raise Refusal("two_factor_off")
    rows = failure_rows(command.purpose, command.account_id, command.binding, command.device_id)
    if spent_row(rows, state.failures) is not None:  # a text that could not be used
        raise Refusal("second_factor_locked")
