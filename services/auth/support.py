"""What support sees of an account and may do to it, besides resets; every call stands in the account's timeline."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from services.auth import history, login, operators, session_store
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.domain.reset import Reset, Status
from services.auth.history import Item
from services.auth.limits import SUPPORT_SEARCH
from services.auth.otp_client import Throttle, TwoFactorState
from services.auth.store import accounts, devices, resets, timeline
from services.auth.store.timeline import Entry, OperatorRow
from shared import budgets
from shared.budgets import Charge
from shared.database import reading, writing
from shared.problems import Refusal

log = structlog.get_logger("auth.support")


@dataclass(frozen=True, slots=True)
class AccountDetail:
    """Everything that support needs to help, and nothing that would let it sign in.

    ``throttles``: the budgets of codes that are spent. ``password_throttled_until``: the same of passwords, for
    browsers that we don't know.
    """

    account: Account
    team_name: str
    two_factor: TwoFactorState
    throttles: list[Throttle]
    password_throttled_until: datetime | None
    trusted_devices: int
    sessions: int
    open_reset: Reset | None


@dataclass(frozen=True, slots=True)
class ResetDetail:
    """A reset and what happened to it, oldest first."""

    reset: Reset
    timeline: list[Item]


def search(deps: Deps, operator: Account, text: str, *, after: str, limit: int) -> list[Account]:
    """Accounts by address, name or id; budgeted, because a search must not export the list of customers.

    Raises Refusal too_many_requests.
    """
    budgets.take(deps.redis, Charge(SUPPORT_SEARCH, operator.id)).require()
    with reading(deps.database) as connection:
        found = accounts.search(connection, text, after=after, limit=limit)
    log.info("support searched accounts", operator=operator.id, found=len(found))
    return found


def detail(deps: Deps, client: Client, operator: Account, account_id: str) -> AccountDetail:
    """One account. Raises Refusal not_found; Unavailable."""
    account = operators.subject(deps, account_id)
    operators.record_view(deps, client, operator, account, "account")
    two_factor = deps.otp.state(account.id)
    throttles = deps.otp.throttles(account.id)
    (wait_seconds,) = budgets.waits(deps.redis, login.address_charge(deps, account.email))
    sessions = len(session_store.sessions_of(deps.redis, account.id))
    with reading(deps.database) as connection:
        return AccountDetail(
            account=account,
            team_name=accounts.team_name(connection, account.team_id),
            two_factor=two_factor,
            throttles=throttles,
            password_throttled_until=deps.clock() + timedelta(seconds=wait_seconds) if wait_seconds else None,
            trusted_devices=devices.count_trusted(connection, account.id, deps.clock()),
            sessions=sessions,
            open_reset=resets.open_of(connection, account.id),
        )


def account_timeline(
    deps: Deps, client: Client, operator: Account, account_id: str, *, limit: int, cursor: str | None
) -> tuple[list[Item], str | None]:
    """A page of the account's whole timeline. Raises Refusal not_found; Unavailable."""
    account = operators.subject(deps, account_id)
    operators.record_view(deps, client, operator, account, "timeline")
    return history.page(deps, account.id, limit=limit, cursor=cursor)


def unlock(deps: Deps, client: Client, operator: Account, account_id: str) -> None:
    """Lift the hard stop and renew the budgets of codes; support may do it again when its record can't be written.

    Raises Refusal not_found, own_account; Unavailable.
    """
    account = operators.subject(deps, account_id)
    if account.id == operator.id:
        raise Refusal("own_account", detail="Operators cannot unlock their own account.")
    deps.otp.unlock(account.id)
    with writing(deps.database) as connection:
        operators.note(connection, client, operator, account, Entry.SECOND_FACTOR_UNLOCKED, deps.clock())


def audit(
    deps: Deps, entry: str | None, operator: str | None, account: str | None, *, before: int | None, limit: int
) -> list[OperatorRow]:
    """What operators did to all accounts, newest first; ``operator`` and ``account`` are ids or addresses."""
    with reading(deps.database) as connection:
        return timeline.by_operators(
            connection,
            entry=entry,
            operator_id=_id_of(connection, operator),
            account_id=_id_of(connection, account),
            before=before,
            limit=limit,
        )


def _id_of(connection: Connection, who: str | None) -> str | None:
    """The id behind an address. What is no address, or nobody's, stays as it is and is looked for as an id."""
    found = accounts.by_email(connection, who) if who is not None and "@" in who else None
    return who if found is None else found.id


def list_resets(deps: Deps, status: Status | None, *, before: str | None, limit: int) -> list[Reset]:
    """Resets of all accounts, newest first."""
    with reading(deps.database) as connection:
        return resets.listing(connection, status, before=before, limit=limit)


def reset_detail(deps: Deps, reset_id: str) -> ResetDetail:
    """One reset. A console that waits for its end asks often, and it shows nothing but support's own work: no record.

    Raises Refusal not_found.
    """
    with reading(deps.database) as connection:
        reset = resets.by_id(connection, reset_id)
        if reset is None:
            raise Refusal("not_found")
        rows = timeline.of_reset(connection, reset.account_id, reset.id)
    return ResetDetail(reset, [history.item_of(row) for row in rows])
