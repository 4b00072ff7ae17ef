"""The phone of an account: set, proven by an SMS code, removed. Only a proven number ever receives login codes.

A code that proves a number belongs to the session that requested it: it counts in no other session, and ends with this
one. The pending number stays, and another session requests a code of its own, for which it needs a step-up.
"""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from services.auth import consequences, limits, notices, phone_numbers, phone_proof_store, sms_request
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
from shared.database import reading
from shared.ids import new_id
from shared.phone import PhoneNumber
from shared.problems import Refusal


@dataclass(frozen=True, slots=True)
class Country:
    """A choice of the Country Code field; ``sms`` says whether codes go there."""

    country: str
    calling_code: int
    sms: bool


def countries(deps: Deps) -> list[Country]:
    """All of them, in the order of their codes."""
    allowed = deps.settings.sms_countries
    return [Country(country, code, country in allowed) for country, code in phone_numbers.calling_codes().items()]


def set_phone(deps: Deps, client: Client, account: Account, acting: Acting, country: str, number: str) -> SentCode:
    """Remember a number as pending and send the code that proves it; a proven number stays in use until then.

    When the code can't be sent the number stays pending, so that POST /v1/phone/sms can try again.
    Raises Refusal country_not_allowed, invalid_phone, too_many_requests, sms_unavailable; Unavailable.
    """
    phone = phone_numbers.parse(country, number, deps.settings.sms_countries)
    binding = _new_binding(acting.session)
    with _charged(deps, limits.PHONE_CHANGE, account), consequences.holding(deps, acting, account.id) as connection:
        _write_pending(connection, client, account, phone, binding, deps.clock(), actor=OWNER)
    return sms_request.send_code(deps, client, SmsOrder(account, "phone_verification", binding, phone))


def set_member_phone(
    deps: Deps, client: Client, owner: Account, acting: Acting, account_id: str, country: str, number: str
) -> PhoneNumber:
    """Set a member's number, as an owner of the same team, and tell the member.

    The member proves the number; until then it is of no use.

    Raises Refusal forbidden, not_found (also for another team's account), country_not_allowed, invalid_phone,
    too_many_requests.
    """
    if owner.role is not Role.OWNER:
        raise Refusal("forbidden")
    with reading(deps.database) as connection:
        member = accounts.by_id(connection, account_id)
    if member is None or member.team_id != owner.team_id:
        raise Refusal("not_found")
    phone = phone_numbers.parse(country, number, deps.settings.sms_countries)
    with (
        _charged(deps, limits.MEMBER_PHONE_CHANGE, owner),
        consequences.holding(deps, acting, member.id) as connection,
    ):
        now = deps.clock()
        actor = timeline.team_owner(owner.id)
        _write_pending(connection, client, member, phone, new_id("phb"), now, actor=actor)
        if member.id != owner.id:
            kind = Kind.PHONE_SET_BY_TEAM_OWNER
            notices.tell(connection, deps, member, kind, now, phone_hint=phone.masked())
    return phone


def resend(deps: Deps, client: Client, account: Account, acting: Acting) -> SentCode:
    """Send another code to the pending number. From here on the code of another session proves nothing.

    Raises Refusal phone_not_pending, too_many_requests, sms_unavailable, not_authenticated; Unavailable.
    """
    phone, binding = _pending(account)
    if _requested_by(binding) != acting.session.id:
        phone, binding = _bound_anew(deps, account, acting)
    return sms_request.send_code(deps, client, SmsOrder(account, "phone_verification", binding, phone))


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
