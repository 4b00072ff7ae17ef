"""Changing the password: everything that the old one opened is shut."""

from services.auth import consequences, limits, notices, password_strength
from services.auth.consequences import Acting
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.domain.consequences import Change
from services.auth.domain.notice_texts import Kind
from services.auth.password_strength import Strength
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge
from shared.problems import Refusal


def rate(deps: Deps, account: Account, password: str) -> Strength:
    """What a change to this password would say; nothing is kept. Raises Refusal too_many_requests; Unavailable."""
    budgets.take(deps.redis, Charge(limits.PASSWORD_STRENGTH, account.id)).require()
    return _assess(deps, account, password)


def change(deps: Deps, client: Client, account: Account, acting: Acting, new_password: str) -> tuple[Strength, Acting]:
    """Set the password, end what its row says, tell the owner; the strength, and the session under its new token.

    Raises Refusal too_many_requests, password_too_weak with zxcvbn's advice, not_authenticated; Unavailable.
    """
    charge = Charge(limits.PASSWORD_CHANGE, account.id)
    budgets.take(deps.redis, charge).require()
    with budgets.given_back_on_outage(deps.redis, charge):
        return _change(deps, client, account, acting, new_password)


def _change(deps: Deps, client: Client, account: Account, acting: Acting, new_password: str) -> tuple[Strength, Acting]:
    strength = _assess(deps, account, new_password)
    if not strength.acceptable:
        advice = " ".join([strength.warning, *strength.suggestions]).strip()
        raise Refusal("password_too_weak", detail=advice or None, extra={"strength": strength.document()})
    encoded = deps.hashing.hash(new_password)
    with consequences.changing(deps, Change.PASSWORD_CHANGED, account.id, acting=acting, otp=deps.otp) as changing:
        connection, now = changing.connection, changing.now
        accounts.set_password_hash(connection, account.id, encoded, now)
        timeline.write(connection, account.id, Entry.PASSWORD_CHANGED, now, ip=client.ip)
        notices.tell(connection, deps, account, Kind.PASSWORD_CHANGED, now, ip=client.ip, browser=client.browser)
    return strength, changing.acting or acting


def _assess(deps: Deps, account: Account, password: str) -> Strength:
    return deps.rating.run(lambda: password_strength.assess(password, [account.email, account.name]))
