"""Changing the password: everything that the old one opened is shut."""

from services.auth import limits, notices, password_strength, session_store
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.domain.notice_texts import Kind
from services.auth.domain.session import Session
from services.auth.password_strength import Strength
from services.auth.store import accounts, devices, timeline
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge
from shared.database import writing
from shared.problems import Refusal


def rate(deps: Deps, account: Account, password: str) -> Strength:
    """What a change to this password would say; nothing is kept. Raises Refusal too_many_requests; Unavailable."""
    budgets.take(deps.redis, Charge(limits.PASSWORD_STRENGTH, account.id)).require()
    return _assess(account, password)


def change(deps: Deps, client: Client, account: Account, session: Session, new_password: str) -> Strength:
    """Set it, end other sessions and logins, revoke every device, tell the owner.

    Raises Refusal password_too_weak with zxcvbn's advice.
    """
    strength = _assess(account, new_password)
    if not strength.acceptable:
        advice = " ".join([strength.warning, *strength.suggestions]).strip()
        raise Refusal("password_too_weak", detail=advice or None, extra={"strength": strength.document()})
    encoded = deps.hashing.hash(new_password)
    now = deps.clock()
    with writing(deps.database) as connection:
        accounts.set_password_hash(connection, account.id, encoded, now)
        # Before the commit, so that a Redis that is down leaves the old password in force; and once more after it, for
        # a login with the old password that slipped in between. Before the devices, so that a login that writes one
        # just after they are revoked sees that it was overtaken.
        session_store.end_all(deps.redis, account.id, spare=session.id)
        devices.revoke_all(connection, account.id, now, now)
        timeline.write(connection, account.id, Entry.PASSWORD_CHANGED, now, ip=client.ip)
        notices.tell(connection, deps, account, Kind.PASSWORD_CHANGED, now, ip=client.ip, browser=client.user_agent)
    session_store.end_all(deps.redis, account.id, spare=session.id)
    return strength


def _assess(account: Account, password: str) -> Strength:
    return password_strength.assess(password, [account.email, account.name])
