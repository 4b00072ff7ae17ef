"""Changing the password: everything that the old one opened is shut."""

from services.auth import consequences, limits, notices, password_form, password_strength, step_up
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


def change(
    deps: Deps, client: Client, account: Account, acting: Acting, current_password: str, new_password: str
) -> tuple[Strength, Acting]:
    """Set the password for a caller who knows the current one; as set_new.

    A wrong current password is charged to the row of reauthentication, so that a stolen session has no second row of
    guesses here. Raises Refusal invalid_credentials, too_many_requests, and what set_new raises.
    """
    guess, changed = Charge(limits.REAUTHENTICATE, acting.session.id), Charge(limits.PASSWORD_CHANGE, account.id)
    taken = budgets.take(deps.redis, guess, changed).require()
    with budgets.given_back_on_outage(deps.redis, guess, changed):
        is_right = step_up.is_password(deps, account, current_password)
    if not is_right:
        detail = "The current password is wrong."
        refused = Refusal("invalid_credentials", detail=detail, extra={"cause": "current"})
        taken.tell_last_tries(refused, guess.rate)
        raise refused
    budgets.refund(deps.redis, guess)
    with budgets.given_back_on_outage(deps.redis, changed):
        return set_new(deps, client, account, acting, new_password)


def set_new(deps: Deps, client: Client, account: Account, acting: Acting, new_password: str) -> tuple[Strength, Acting]:
    """Set the password, end what its row says, tell the owner; the strength, and the session under its new token.

    Raises Refusal password_too_weak with zxcvbn's advice, not_authenticated; Unavailable.
    """
    strength = _assess(deps, account, new_password)
    if not strength.acceptable:
        advice = " ".join([strength.warning, *strength.suggestions]).strip()
        raise Refusal("password_too_weak", detail=advice or None, extra={"strength": strength.document()})
    text, is_prepared = password_form.to_hash(new_password, prepares=deps.settings.prepares_passwords)
    encoded = deps.hashing.hash(text)
    with consequences.changing(deps, Change.PASSWORD_CHANGED, account.id, acting=acting, otp=deps.otp) as changing:
        connection, now = changing.connection, changing.now
        accounts.set_password_hash(connection, account.id, encoded, now, is_prepared=is_prepared)
        timeline.write(connection, account.id, Entry.PASSWORD_CHANGED, now, ip=client.ip)
        notices.tell(connection, deps, account, Kind.PASSWORD_CHANGED, now, ip=client.ip, browser=client.browser)
    return strength, changing.acting or acting


def _assess(deps: Deps, account: Account, password: str) -> Strength:
    return deps.rating.run(lambda: password_strength.assess(password, [account.email, account.name]))
