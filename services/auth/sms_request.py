"""Asking for a code by SMS or by call: a claim check. Only ids and a deadline reach the broker."""

import contextlib
from dataclasses import dataclass

from sqlalchemy import Connection

from services.auth import phone_numbers
from services.auth.deps import Client, Deps, by_network, charged_by_network
from services.auth.domain.account import Account
from services.auth.limits import SMS_IP
from services.auth.otp_client import Purpose
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared import budgets
from shared.channel import Channel
from shared.clock import parse_rfc3339
from shared.database import writing
from shared.ids import new_id
from shared.messages import SendSmsCode
from shared.phone import PhoneNumber
from shared.problems import Refusal
from shared.texts.languages import DEFAULT_LANGUAGE


@dataclass(frozen=True, slots=True)
class SentCode:
    """What the page that waits for the code may know; times as otp wrote them (RFC 3339).

    ``channels``: how another code can reach the phone.
    """

    message_id: str
    reference: str
    phone_hint: str
    expires_at: str
    resend_after: str
    channel: Channel = Channel.SMS
    channels: tuple[Channel, ...] = (Channel.SMS,)


@dataclass(frozen=True, slots=True)
class SmsOrder:
    """Whose code, for what, and to which number. ``device_id``: a known device of the account asks.

    ``account`` is the account as it was when ``phone`` was read from it. ``language`` is that of the request, for an
    account that has none.
    """

    account: Account
    purpose: Purpose
    binding: str
    phone: PhoneNumber
    device_id: str | None = None
    language: str = DEFAULT_LANGUAGE
    channel: Channel = Channel.SMS

    @property
    def of_login(self) -> dict[str, str]:
        """The login challenge that the code is for, as a detail of the timeline."""
        return {"challenge_id": self.binding} if self.purpose == "login" else {}


def send_code(deps: Deps, client: Client, order: SmsOrder) -> SentCode:
    """Have otp mint a code, and notify send it.

    What can't be published or recorded is withdrawn: the code that nobody will get must not be one that works. The same
    holds when the phone was changed while otp minted the code. Raises Refusal too_many_requests, sms_unavailable or
    call_unavailable (which the timeline tells); Unavailable.
    """
    charges = by_network(deps, SMS_IP, client.ip)
    taken = budgets.take(deps.redis, *charges)
    charged = charged_by_network(taken, charges, device_known=order.device_id is not None)
    with budgets.given_back_on_outage(deps.redis, *charged):
        try:
            return _minted_and_published(deps, client, order)
        except Refusal as refusal:
            if refusal.code != "sms_unavailable":
                raise
            _record_refused(deps, client, order, refusal)
            raise _named_for(order.channel, refusal) from None


def _named_for(channel: Channel, refusal: Refusal) -> Refusal:
    """The refusal under the name of the channel: otp's guards, and what a phone takes, refuse texts and calls alike."""
    if channel is Channel.SMS:
        return refusal
    return Refusal("call_unavailable", retry_after_seconds=refusal.retry_after_seconds, extra=refusal.extra)


def _minted_and_published(deps: Deps, client: Client, order: SmsOrder) -> SentCode:
    account, phone = order.account, order.phone
    phone_numbers.require_reachable(phone, order.channel, deps.settings.reach)
    challenge = deps.otp.create_sms_challenge(
        account.id,
        order.purpose,
        order.binding,
        phone.e164,
        order.device_id,
        channel=order.channel,
        language=account.language or order.language,
    )
    message_id = challenge["message_id"]
    now = deps.clock()
    sent = SentCode(
        message_id=message_id,
        reference=challenge["reference"],
        phone_hint=phone.masked(),
        expires_at=challenge["expires_at"],
        resend_after=challenge["resend_after"],
        channel=order.channel,
        channels=tuple(sorted(phone_numbers.channels(phone, deps.settings.reach))),
    )
    try:
        with writing(deps.database) as connection:
            _require_unchanged(connection, order)
            timeline.write(
                connection,
                account.id,
                Entry.SMS_REQUESTED,
                now,
                ip=client.ip,
                message_id=message_id,
                reference=sent.reference,
                expires_at=sent.expires_at,
                purpose=order.purpose,
                phone_hint=sent.phone_hint,
                **order.of_login,
                **_by(order),
            )
        deps.publisher.publish(
            SendSmsCode(
                id=new_id("msg"), occurred_at=now, message_id=message_id, deadline=parse_rfc3339(challenge["deadline"])
            )
        )
    except Exception:
        with contextlib.suppress(Refusal):  # otp is away as well: the code stays unsent and dies by itself
            deps.otp.withdraw_sms_challenge(account.id, message_id, order.purpose, order.binding)
        raise
    return sent


def _require_unchanged(connection: Connection, order: SmsOrder) -> None:
    """Raise Refusal sms_unavailable when the phone that the code is for was changed since it was read.

    A change of the phone holds the account from before otp ends its codes until the commit. So it has either ended this
    code, or is committed by the time this transaction holds the account.
    """
    accounts.hold(connection, order.account.id)
    account = accounts.by_id(connection, order.account.id)
    if account is None or not _is_still_the_phone(account, order):
        raise Refusal("sms_unavailable", detail="The phone was changed meanwhile.", extra={"cause": "changed"})


def _is_still_the_phone(account: Account, order: SmsOrder) -> bool:
    if order.purpose == "phone_verification":
        return account.pending_phone_binding == order.binding
    return (account.phone, account.phone_verified_at) == (order.phone, order.account.phone_verified_at)


def _record_refused(deps: Deps, client: Client, order: SmsOrder, refusal: Refusal) -> None:
    """Support must see why no code came."""
    with writing(deps.database) as connection:
        timeline.write(
            connection,
            order.account.id,
            Entry.SMS_REFUSED,
            deps.clock(),
            ip=client.ip,
            purpose=order.purpose,
            phone_hint=order.phone.masked(),
            cause=refusal.extra.get("cause"),
            **order.of_login,
            **_by(order),
        )


def _by(order: SmsOrder) -> dict[str, str]:
    """The detail of an entry that tells a call; a text needs none."""
    return {"channel": order.channel} if order.channel is Channel.CALL else {}
