"""The phone of an account: set, proven by an SMS code, removed. Only a proven number ever receives login codes.

A code that proves a number belongs to the session that requested it: it counts in no other session, and ends with this
one. The pending number stays, and another session requests a code of its own, for which it needs a step-up.
"""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from services.auth import (
    consequences,
    limits,
    notices,
    phone_code_store,
    phone_numbers,
    phone_proof_store,
    session_store,
    sms_request,
)
from services.auth.consequences import Acting
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account, Role
from services.auth.domain.consequences import Change
from services.auth.domain.notice_texts import Kind
from services.auth.domain.session import Session
from services.auth.otp_client import CodeRefused
from services.auth.sms_request import SentCode, SmsOrder
from services.auth.store import accounts, timeline
from services.auth.store.timeline import OWNER, Entry
from shared import budgets
from shared.budgets import Charge, Rate
from shared.channel import Channel
from shared.clock import parse_rfc3339
from shared.database import reading
from shared.ids import new_id
from shared.phone import PhoneNumber
from shared.problems import Refusal
from shared.texts.languages import DEFAULT_LANGUAGE


@dataclass(frozen=True, slots=True)
class Country:
    """A choice of the Country Code field; ``sms`` and ``call`` say how codes go there."""

    country: str
    calling_code: int
    sms: bool
    call: bool


def countries(deps: Deps) -> list[Country]:
    """All of them, in the order of their codes."""
    reach, codes = deps.settings.reach, phone_numbers.calling_codes()
    return [Country(one, code, one in reach.sms, one in reach.call) for one, code in codes.items()]


def set_phone(
    deps: Deps,
    client: Client,
    account: Account,
    acting: Acting,
    country: str,
    number: str,
    language: str = DEFAULT_LANGUAGE,
) -> SentCode | Account:
    """Remember a number as pending and send the code that proves it; a proven number stays in use until then.

    A number that takes no texts is called. ``language`` is that of the request, for an account that has none.

    A repeat is the same request: while a code that this session requested for this number is live, the call sends
    nothing and returns that code's answer again. For a number that is proven already, it returns the account: a number
    that is pending beside it is forgotten, and nothing else changes.
    When the code can't be sent the number stays pending, so that POST /v1/phone/sms can try again.
    Raises Refusal country_not_allowed, invalid_phone, too_many_requests, sms_unavailable, not_authenticated;
    Unavailable.
    """
    phone = phone_numbers.parse(country, number, deps.settings.reach)
    if account.phone == phone and account.pending_phone is None:
        return account
    if (sent := _sent_before(deps, account, acting.session, phone)) is not None:
        return sent
    with _charged(deps, limits.PHONE_CHANGE, account), consequences.holding(deps, acting, account.id) as connection:
        stored = accounts.by_id(connection, account.id) or account
        if _keep_proven(connection, stored, phone):
            return stored
        binding = _binding_of(stored, acting.session, phone)
        if binding is None:
            binding = _new_binding(acting.session)
            _write_pending(connection, client, account, phone, binding, deps.clock(), actor=OWNER)
    takes_texts = Channel.SMS in phone_numbers.channels(phone, deps.settings.reach)
    channel = Channel.SMS if takes_texts else Channel.CALL
    return _send(deps, client, account, phone, binding, language, channel)


def set_member_phone(
    deps: Deps, client: Client, owner: Account, acting: Acting, account_id: str, country: str, number: str
) -> tuple[PhoneNumber, bool]:
    """Set a member's number, as an owner of the same team, and tell the member.

    Return the number, and whether the member has proven it.

    The member proves the number; until then it is of no use. A number that is pending already is not set again, and the
    member is not told again. The same holds for a number that the member has proven; a number that is pending beside it
    is forgotten.

    Raises Refusal forbidden, not_found (also for another team's account), country_not_allowed, invalid_phone,
    too_many_requests.
    """
    if owner.role is not Role.OWNER:
        raise Refusal("forbidden")
    with reading(deps.database) as connection:
        member = accounts.by_id(connection, account_id)
    if member is None or member.team_id != owner.team_id:
        raise Refusal("not_found")
    phone = phone_numbers.parse(country, number, deps.settings.reach)
    with (
        _charged(deps, limits.MEMBER_PHONE_CHANGE, owner),
        consequences.holding(deps, acting, member.id) as connection,
    ):
        member = accounts.by_id(connection, member.id) or member
        if _keep_proven(connection, member, phone):
            return phone, True
        if member.pending_phone == phone:
            return phone, False
        now = deps.clock()
        actor = timeline.team_owner(owner.id)
        _write_pending(connection, client, member, phone, new_id("phb"), now, actor=actor)
        if member.id != owner.id:
            kind = Kind.PHONE_SET_BY_TEAM_OWNER
            notices.tell(connection, deps, member, kind, now, phone_hint=phone.masked())
    return phone, False


def resend(
    deps: Deps,
    client: Client,
    account: Account,
    acting: Acting,
    language: str = DEFAULT_LANGUAGE,
    channel: Channel = Channel.SMS,
) -> SentCode:
    """Send another code to the pending number. From here on the code of another session proves nothing.

    ``language`` is that of the request, for an account that has none. Raises Refusal phone_not_pending,
    too_many_requests, sms_unavailable or call_unavailable, not_authenticated; Unavailable.
    """
    phone, binding = _pending(account)
    if _requested_by(binding) != acting.session.id:
        phone, binding = _bound_anew(deps, account, acting)
    return _send(deps, client, account, phone, binding, language, channel)


def verify(deps: Deps, client: Client, account: Account, acting: Acting, code: str) -> tuple[Account, bool]:
    """Prove the pending number: it becomes the account's phone, everyone concerned is told, and the row applies.

    The code is bound to the number it was sent to, and to the session that requested it. The account, and whether the
    session that proved it has ended with the number before. A repeat of the call within a minute changes nothing.
    Raises Refusal phone_not_pending (also when another number took its place meanwhile), invalid_passcode,
    too_many_requests, not_authenticated; Unavailable.
    """
    if account.pending_phone is None and _has_just_proven(deps, account, acting.session, code):
        return account, False
    phone, binding = _pending(account)
    if _requested_by(binding) not in {None, acting.session.id}:
        raise Refusal("invalid_passcode", detail="Request a code in this session, and enter that code.")
    deps.otp.verify(account.id, code, "phone_verification", binding)
    with consequences.changing(deps, Change.PHONE_REPLACED, account.id, acting=acting, otp=deps.otp) as changing:
        connection, now = changing.connection, changing.now
        before = accounts.by_id(connection, account.id)
        if before is None or not accounts.claim_pending_phone(connection, account.id, binding, now):
            raise Refusal("phone_not_pending")
        after = replace(before, phone=phone, phone_verified_at=now, pending_phone=None, pending_phone_binding=None)
        hint = phone.masked()
        timeline.write(connection, account.id, Entry.PHONE_CHANGED, now, ip=client.ip, phone_hint=hint)
        replaced = () if before.phone is None else (before.phone,)
        notices.tell(connection, deps, after, Kind.PHONE_CHANGED, now, extra_phones=replaced, phone_hint=hint)
        phone_proof_store.keep(deps.redis, account.id, binding, now)
    return after, changing.acting_ended


def remove(deps: Deps, client: Client, account: Account, acting: Acting) -> bool:
    """Forget the proven and the pending number; whether the session that orders it has ended with them.

    A second call changes nothing. Raises Refusal too_many_requests, not_authenticated; Unavailable.
    """
    with (
        _charged(deps, limits.PHONE_CHANGE, account),
        consequences.changing(deps, Change.PHONE_REMOVED, account.id, acting=acting, otp=deps.otp) as changing,
    ):
        connection, now = changing.connection, changing.now
        before = accounts.by_id(connection, account.id)
        if before is not None and accounts.clear_phone(connection, account.id):
            removed = before.phone or before.pending_phone
            hint = removed.masked() if removed else None
            timeline.write(connection, account.id, Entry.PHONE_REMOVED, now, ip=client.ip, phone_hint=hint)
            if before.phone is not None:
                notices.tell(connection, deps, before, Kind.PHONE_REMOVED, now, phone_hint=hint)
    return changing.acting_ended


@contextlib.contextmanager
def _charged(deps: Deps, rate: Rate, account: Account) -> Iterator[None]:
    """Count one change; an outage gives it back. Raises Refusal too_many_requests."""
    charge = Charge(rate, account.id)
    budgets.take(deps.redis, charge).require()
    with budgets.given_back_on_outage(deps.redis, charge):
        yield


def _send(
    deps: Deps,
    client: Client,
    account: Account,
    phone: PhoneNumber,
    binding: str,
    language: str,
    channel: Channel,
) -> SentCode:
    epoch = session_store.epoch(deps.redis, account.id)
    order = SmsOrder(account, "phone_verification", binding, phone, language=language, channel=channel)
    sent = sms_request.send_code(deps, client, order)
    times = {"expires_at": parse_rfc3339(sent.expires_at), "now": deps.clock()}
    # A gateway of the previous release knows texts alone, and refuses a member that it does not know.
    answer = asdict(sent)
    kept = {name: answer[name] for name in answer if name != "channels" and answer[name] is not Channel.SMS}
    phone_code_store.keep(deps.redis, account.id, binding, epoch, kept, **times)
    return sent


def _sent_before(deps: Deps, account: Account, session: Session, phone: PhoneNumber) -> SentCode | None:
    """Return the answer about the live code that this session requested for this number; None without such a code."""
    binding = _binding_of(account, session, phone)
    if binding is None:
        return None
    epoch = session_store.epoch(deps.redis, account.id)
    found = phone_code_store.find(deps.redis, account.id, binding, epoch, deps.clock())
    if found is None:
        return None
    channel, channels = Channel(found.pop("channel", "sms")), phone_numbers.channels(phone, deps.settings.reach)
    return SentCode(**found, channel=channel, channels=tuple(sorted(channels)))


def _binding_of(account: Account, session: Session, phone: PhoneNumber) -> str | None:
    """The binding of the pending number, if ``phone`` is pending and this session has set it or requested its code."""
    binding = account.pending_phone_binding
    if binding is None or account.pending_phone != phone or _requested_by(binding) != session.id:
        return None
    return binding


def _keep_proven(connection: Connection, account: Account, phone: PhoneNumber) -> bool:
    """If ``phone`` is proven already, forget the number that is pending beside it. Return whether it is proven."""
    if account.phone != phone:
        return False
    accounts.clear_pending_phone(connection, account.id)
    return True


def _pending(account: Account | None) -> tuple[PhoneNumber, str]:
    if account is None or account.pending_phone is None or account.pending_phone_binding is None:
        raise Refusal("phone_not_pending")
    return account.pending_phone, account.pending_phone_binding


def _has_just_proven(deps: Deps, account: Account, session: Session, code: str) -> bool:
    """Whether this session has proven the account's phone with this code, though it may not have got the answer."""
    binding = phone_proof_store.find(deps.redis, account)
    if binding is None or _requested_by(binding) != session.id:
        return False
    try:
        deps.otp.verify(account.id, code, "phone_verification", binding)
    except CodeRefused:
        return False
    return True


def _new_binding(session: Session) -> str:
    """What a code of this session for one number is bound to; otp finds the session in it, too (models.accounts)."""
    return f"{session.id}.{secrets.token_hex(5)}"


def _requested_by(binding: str) -> str | None:
    """The session that requested a code; None when none has, and where an earlier release stored the number."""
    session_id, dot, _ = binding.partition(".")
    return session_id if dot else None


def _write_pending(
    connection: Connection,
    client: Client,
    account: Account,
    phone: PhoneNumber,
    binding: str,
    now: datetime,
    *,
    actor: str,
) -> None:
    """Store the number with its new binding: a code for an earlier number proves nothing about this one."""
    accounts.set_pending_phone(connection, account.id, phone, binding)
    hint = phone.masked()
    timeline.write(connection, account.id, Entry.PHONE_PENDING, now, actor=actor, ip=client.ip, phone_hint=hint)


def _bound_anew(deps: Deps, account: Account, acting: Acting) -> tuple[PhoneNumber, str]:
    """The pending number as it is now, bound to this session."""
    with consequences.holding(deps, acting, account.id) as connection:
        phone, binding = _pending(accounts.by_id(connection, account.id))
        if _requested_by(binding) != acting.session.id:
            binding = _new_binding(acting.session)
            accounts.set_pending_phone(connection, account.id, phone, binding)
    return phone, binding
