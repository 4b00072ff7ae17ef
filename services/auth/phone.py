"""The phone of an account: set, proven by an SMS code, removed. Only a proven number ever receives login codes."""

from dataclasses import dataclass, replace

from services.auth import notices, phone_numbers, sms_request
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account, Role
from services.auth.domain.notice_texts import Kind
from services.auth.sms_request import SentCode, SmsOrder
from services.auth.store import accounts, timeline
from services.auth.store.timeline import OWNER, Entry
from shared.database import reading, writing
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


def set_phone(deps: Deps, client: Client, account: Account, country: str, number: str) -> SentCode:
    """Remember a number as pending and send the code that proves it; a proven number stays in use until then.

    When the code can't be sent the number stays pending, so that POST /v1/phone/sms can try again.
    Raises Refusal country_not_allowed, invalid_phone, too_many_requests, sms_unavailable; Unavailable.
    """
    phone = phone_numbers.parse(country, number, deps.settings.sms_countries)
    binding = _store_pending(deps, client, account, phone, actor=OWNER)
    return sms_request.send_code(deps, client, SmsOrder(account, "phone_verification", binding, phone))


def set_member_phone(
    deps: Deps, client: Client, owner: Account, account_id: str, country: str, number: str
) -> PhoneNumber:
    """Set a member's number, as an owner of the same team. The member proves it; until then it is of no use.

    Raises Refusal forbidden, not_found (also for another team's account), country_not_allowed, invalid_phone.
    """
    if owner.role is not Role.OWNER:
        raise Refusal("forbidden")
    with reading(deps.database) as connection:
        member = accounts.by_id(connection, account_id)
    if member is None or member.team_id != owner.team_id:
        raise Refusal("not_found")
    phone = phone_numbers.parse(country, number, deps.settings.sms_countries)
    _store_pending(deps, client, member, phone, actor=timeline.team_owner(owner.id))
    return phone


def resend(deps: Deps, client: Client, account: Account) -> SentCode:
    """Send another code to the pending number.

    Raises Refusal phone_not_pending, too_many_requests, sms_unavailable; Unavailable.
    """
    phone, binding = _pending(account)
    return sms_request.send_code(deps, client, SmsOrder(account, "phone_verification", binding, phone))


def verify(deps: Deps, client: Client, account: Account, code: str) -> Account:
    """Prove the pending number: it becomes the account's phone, and everyone concerned is told.

    The code is bound to the number it was sent to. Raises Refusal phone_not_pending (also when another number took its
    place meanwhile), invalid_passcode, too_many_requests; Unavailable.
    """
    phone, binding = _pending(account)
    deps.otp.verify(account.id, code, "phone_verification", binding)
    now = deps.clock()
    with writing(deps.database) as connection:
        before = accounts.by_id(connection, account.id)
        if before is None or not accounts.claim_pending_phone(connection, account.id, binding, now):
            raise Refusal("phone_not_pending")
        after = replace(before, phone=phone, phone_verified_at=now, pending_phone=None, pending_phone_binding=None)
        hint = phone.masked()
        timeline.write(connection, account.id, Entry.PHONE_CHANGED, now, ip=client.ip, phone_hint=hint)
        replaced = () if before.phone is None else (before.phone,)
        notices.tell(connection, deps, after, Kind.PHONE_CHANGED, now, extra_phones=replaced, phone_hint=hint)
    return after


def remove(deps: Deps, client: Client, account: Account) -> None:
    """Forget the proven and the pending number; a second call changes nothing."""
    now = deps.clock()
    with writing(deps.database) as connection:
        before = accounts.by_id(connection, account.id)
        if before is None or not accounts.clear_phone(connection, account.id):
            return
        removed = before.phone or before.pending_phone
        hint = removed.masked() if removed else None
        timeline.write(connection, account.id, Entry.PHONE_REMOVED, now, ip=client.ip, phone_hint=hint)
        if before.phone is not None:
            notices.tell(connection, deps, before, Kind.PHONE_REMOVED, now, phone_hint=hint)


def _pending(account: Account) -> tuple[PhoneNumber, str]:
    if account.pending_phone is None or account.pending_phone_binding is None:
        raise Refusal("phone_not_pending")
    return account.pending_phone, account.pending_phone_binding


def _store_pending(deps: Deps, client: Client, account: Account, phone: PhoneNumber, *, actor: str) -> str:
    """The new binding: a code for an earlier number proves nothing about this one."""
    binding = new_id("phb")
    now = deps.clock()
    with writing(deps.database) as connection:
        accounts.set_pending_phone(connection, account.id, phone, binding)
        timeline.write(
            connection, account.id, Entry.PHONE_PENDING, now, actor=actor, ip=client.ip, phone_hint=phone.masked()
        )
    return binding
