"""Unlocks: support ends the waits of an account, with a ticket and a reason; the owner is told.

An unlock gives guesses back, so one operator has three a day for an account. Each further one waits for a second
operator. otp refuses to lift a hundred failures in a row (NIST SP 800-63B-4 §3.2.2).

What an unlock costs, its entry and its notice are committed before anything is lifted, because otp's answer may be
lost after otp has lifted the lock. Only otp's refusal takes the cost back. A call that ended in 503 may have lifted the
lock; it may be sent again, and is another unlock.
"""

from contextlib import AbstractContextManager, suppress

from redis.exceptions import RedisError
from sqlalchemy import Connection

from services.auth import guessing_brake, holds, notices, operators
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account, Role
from services.auth.domain.notice_texts import Kind
from services.auth.domain.unlock import Unlock
from services.auth.limits import UNLOCK, UNLOCK_APPROVAL_LIFE
from services.auth.operators import Operator
from services.auth.store import accounts
from services.auth.store import unlocks as store
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge
from shared.database import reading, writing
from shared.ids import new_id
from shared.problems import Refusal


def request(
    deps: Deps, client: Client, operator: Operator, account_id: str, *, ticket: str, reason: str
) -> Unlock | None:
    """Lift the lock at once, or open a request for a second operator, which is returned.

    Raises Refusal not_found, own_account, reset_needed, not_authenticated; Unavailable, and the lock may be lifted all
    the same.
    """
    account = operators.subject(deps, account_id)
    with _refusals_recorded(deps, client, operator.account, account, ticket):
        operators.refuse_own(operator.account, account)
        _refuse_what_only_a_reset_lifts(deps, account)
        charge = Charge(UNLOCK, account.id)
        if budgets.take(deps.redis, charge).allowed:
            with operators.writes(deps, operator, account) as connection:
                _record(connection, deps, client, operator.account, account, ticket=ticket, reason=reason)
            waiting = None
        else:
            waiting = Unlock(new_id("unl"), account.id, ticket, reason, operator.id, deps.clock())
            with operators.writes(deps, operator, account) as connection:
                store.add(connection, waiting)
                facts = {"unlock_id": waiting.id, "ticket": ticket, "reason": reason}
                entry = Entry.UNLOCK_REQUESTED
                operators.note(connection, client, operator.account, account, entry, waiting.requested_at, **facts)
    if waiting is None and not _lift(deps, account):
        with _refusals_recorded(deps, client, operator.account, account, ticket):
            with suppress(RedisError):
                budgets.refund(deps.redis, charge)
            raise Refusal("reset_needed")
    return waiting


def approve(deps: Deps, client: Client, operator: Operator, account_id: str, unlock_id: str) -> None:
    """A second operator approves, and the lock is lifted.

    Raises Refusal not_found, own_account, same_operator, operator_gone, unlock_not_open, reset_needed,
    not_authenticated; Unavailable, and the approval is spent all the same.
    """
    account = operators.subject(deps, account_id)
    with reading(deps.database) as connection:
        unlock = store.by_id(connection, unlock_id)
    is_this_accounts = unlock is not None and unlock.account_id == account.id
    ticket = unlock.ticket if unlock is not None and is_this_accounts else None
    with _refusals_recorded(deps, client, operator.account, account, ticket):
        if unlock is None or not is_this_accounts:
            raise Refusal("not_found")
        operators.refuse_own(operator.account, account)
        if unlock.requested_by == operator.id:
            raise Refusal("same_operator")
        _refuse_what_only_a_reset_lifts(deps, account)
        now = deps.clock()
        with operators.writes(deps, operator, account) as connection:
            if not accounts.of_role(connection, [unlock.requested_by], Role.SUPPORT):
                raise Refusal("operator_gone")
            if not store.claim(connection, unlock.id, operator.id, now, now - UNLOCK_APPROVAL_LIFE):
                raise Refusal("unlock_not_open")
            asked = {"ticket": unlock.ticket, "reason": unlock.reason}
            facts = {"unlock_id": unlock.id, "requested_by": unlock.requested_by, **asked}
            _record(connection, deps, client, operator.account, account, **facts)
    if not _lift(deps, account):
        with writing(deps.database) as connection:
            store.release(connection, unlock.id, operator.id)
        with _refusals_recorded(deps, client, operator.account, account, ticket):
            raise Refusal("reset_needed")


def open_of(deps: Deps, account: Account) -> Unlock | None:
    """The account's request that waits for a second operator, if the one who made it is still an operator."""
    with reading(deps.database) as connection:
        return store.open_of(connection, account.id, deps.clock() - UNLOCK_APPROVAL_LIFE)


def _refuse_what_only_a_reset_lifts(deps: Deps, account: Account) -> None:
    """Refuse what otp would refuse, before an entry and a notice say that the lock is lifted."""
    if deps.otp.state(account.id).reset_needed:
        raise Refusal("reset_needed")


def _lift(deps: Deps, account: Account) -> bool:
    """Empty the budgets of codes, the brake's one try, and the budgets of passwords in clients and open sessions.

    False when otp refuses, because only a reset helps.

    Repeating it changes nothing. Raises Unavailable and RedisError, and codes may be accepted again all the same.
    """
    passwords = [charge for _, charge in holds.password_rows(deps, account)]
    try:
        deps.otp.unlock(account.id)
    except Refusal as refusal:
        if refusal.code != "reset_needed":
            raise
        return False
    budgets.clear(deps.redis, *passwords, guessing_brake.the_try(account.id))
    return True


def _refusals_recorded(
    deps: Deps, client: Client, operator: Account, account: Account, ticket: str | None
) -> AbstractContextManager[None]:
    return operators.refusals_recorded(deps, client, operator, account, "unlock", ticket, Entry.UNLOCK_REFUSED)


def _record(
    connection: Connection, deps: Deps, client: Client, operator: Account, account: Account, **facts: str
) -> None:
    now = deps.clock()
    operators.note(connection, client, operator, account, Entry.SECOND_FACTOR_UNLOCKED, now, **facts)
    notices.tell(connection, deps, account, Kind.UNLOCKED, now)
