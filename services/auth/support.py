"""What support sees of accounts, besides resets and unlocks; every call leaves an entry in operators' trail."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.auth import diagnosis, history, holds, operators, session_store, unlocks
from services.auth.deps import Client, Deps, subject
from services.auth.domain.account import Account
from services.auth.domain.diagnosis import Finding
from services.auth.domain.hold import Held, Hold
from services.auth.domain.reset import Reset, Status
from services.auth.domain.unlock import Unlock
from services.auth.history import Item
from services.auth.limits import SUPPORT_FOUND, SUPPORT_SEARCH
from services.auth.otp_client import Throttle, TwoFactorState
from services.auth.pages import MAX_PAGE
from services.auth.store import accounts, devices, found_rows, resets, timeline
from services.auth.store.timeline import Entry, OperatorRow
from shared import budgets
from shared.budgets import Charge
from shared.database import reading, writing
from shared.email_address import email_key
from shared.problems import Refusal


@dataclass(frozen=True, slots=True)
class AccountDetail:
    """Everything that support needs to help, and nothing that would let it sign in.

    ``diagnosis``: why its owner can't get in, the answer first. ``throttles``: the budgets of codes that are spent.
    ``held_out``: everything that is refused (holds.py).
    """

    account: Account
    diagnosis: tuple[Finding, ...]
    team_name: str
    two_factor: TwoFactorState
    throttles: list[Throttle]
    held_out: tuple[Hold, ...]
    trusted_devices: int
    sessions: int
    open_reset: Reset | None
    open_unlock: Unlock | None
    open_unlock_by: str | None

    @property
    def password_throttled_until(self) -> datetime | None:
        """The end of the wait of passwords from clients that the account does not know."""
        return next((hold.until for hold in self.held_out if hold.what is Held.PASSWORDS_NEW), None)


@dataclass(frozen=True, slots=True)
class Found:
    """An account as a search shows it. ``is_on``: whether 2FA is on, or None when otp gave no answer."""

    account: Account
    is_on: bool | None
    open_reset: Status | None


@dataclass(frozen=True, slots=True)
class Told:
    """An item of a timeline for support: who did it, if an operator or the team's owner did."""

    item: Item
    actor_email: str | None


@dataclass(frozen=True, slots=True)
class ResetDetail:
    """A reset and what happened to it, oldest first."""

    reset: Reset
    timeline: list[Told]


def search(deps: Deps, client: Client, operator: Account, text: str, *, after: str, limit: int) -> list[Found]:
    """Up to ``limit`` accounts by address, name or id, and one more where there are more.

    The operator pays by the row, because a search must not export the list of customers. The entry is written before
    anything is shown. It has the query's keyed digest: an auditor can look for a search for one person, and the trail
    is no list of names. Raises Refusal too_many_requests.
    """
    budgets.take(deps.redis, Charge(SUPPORT_SEARCH, operator.id)).require()
    with reading(deps.database) as connection:
        found = accounts.search(connection, text, after=after, limit=limit + 1)
    shown = min(len(found), limit)
    facts = {"by": _kind_of(text), "query": _digest(deps, text), "found": shown}
    try:
        # One that finds nothing has told something, too.
        found_rows.pay(deps.redis, Charge(SUPPORT_FOUND, operator.id), max(1, shown))
    except Refusal as refusal:
        _record_search(deps, client, operator, **facts, code=refusal.code)
        raise
    _record_search(deps, client, operator, **facts)
    return _with_states(deps, found)


def _with_states(deps: Deps, found: Sequence[Account]) -> list[Found]:
    """The accounts with what a list says of each. An otp that is away leaves a search that finds people."""
    ids = [account.id for account in found]
    on = None
    with suppress(Refusal):  # also of an otp of the previous release, which does not know the call
        on = deps.otp.those_on(ids[:MAX_PAGE])
    with reading(deps.database) as connection:
        open_resets = resets.open_of_accounts(connection, ids)
    return [Found(account, None if on is None else account.id in on, open_resets.get(account.id)) for account in found]


def _kind_of(text: str) -> str:
    """The kind of a query, for the trail: id, address or text."""
    if text.startswith("acc_"):
        return "id"
    return "address" if "@" in text else "text"


def _record_search(deps: Deps, client: Client, operator: Account, **facts: Any) -> None:  # noqa: ANN401 - JSON
    with writing(deps.database) as connection:
        operators.note(connection, client, operator, None, Entry.SUPPORT_SEARCHED, deps.clock(), **facts)


def detail(deps: Deps, client: Client, operator: Account, account_id: str) -> AccountDetail:
    """One account. Raises Refusal not_found; Unavailable."""
    account = operators.subject(deps, account_id)
    operators.record_view(deps, client, operator, account, "account")
    two_factor = deps.otp.state(account.id)
    throttles = deps.otp.throttles(account.id)
    held_out = holds.of_account(deps, account, two_factor, throttles)
    findings = diagnosis.of_account(deps, account, two_factor, held_out)
    open_unlock = unlocks.open_of(deps, account)
    sessions = len(session_store.sessions_of(deps.redis, account.id))
    with reading(deps.database) as connection:
        asked_by = None if open_unlock is None else accounts.by_id(connection, open_unlock.requested_by)
        return AccountDetail(
            account=account,
            diagnosis=findings,
            team_name=accounts.team_name(connection, account.team_id),
            two_factor=two_factor,
            throttles=throttles,
            held_out=held_out,
            trusted_devices=devices.count_trusted(connection, account.id, deps.clock()),
            sessions=sessions,
            open_reset=resets.open_of(connection, account.id),
            open_unlock=open_unlock,
            open_unlock_by=None if asked_by is None else asked_by.email,
        )


def account_timeline(
    deps: Deps, client: Client, operator: Account, account_id: str, *, limit: int, cursor: str | None
) -> tuple[list[Told], str | None]:
    """A page of the account's whole timeline. Raises Refusal not_found; Unavailable."""
    account = operators.subject(deps, account_id)
    operators.record_view(deps, client, operator, account, "timeline")
    items, next_cursor = history.page(deps, account.id, limit=limit, cursor=cursor)
    with reading(deps.database) as connection:
        return _told(connection, items), next_cursor


def _told(connection: Connection, items: list[Item]) -> list[Told]:
    """These items with the addresses of who did them."""
    people = [item.actor.partition(":")[2] for item in items]  # "operator:acc_…", "team-owner:acc_…", "owner"
    found = accounts.by_ids(connection, set(people))
    return [
        Told(item, found[person].email if person in found else None) for item, person in zip(items, people, strict=True)
    ]


def audit(
    deps: Deps,
    client: Client,
    reader: Account,
    entry: str | None,
    operator: str | None,
    account: str | None,
    *,
    before: int | None,
    limit: int,
) -> list[OperatorRow]:
    """What operators did, newest first: up to ``limit``, and one more where there are more.

    ``operator`` and ``account`` are ids or addresses. The reader pays by the account. Raises Refusal too_many_requests.
    """
    with reading(deps.database) as connection:
        by, of = _found(connection, operator), _found(connection, account)
    wanted = {
        "type": entry,
        "of_operator": _named(deps, by, operator),
        "of_account": None if of is not None else _named(deps, of, account),
    }
    operators.record_list(deps, client, reader, "audit", of, **wanted)
    with reading(deps.database) as connection:
        rows = timeline.by_operators(
            connection,
            entry=entry,
            operator_id=operator if by is None else by.id,
            account_id=account if of is None else of.id,
            before=before,
            limit=limit + 1,
        )
    shown = [row.account_id for row in rows[:limit] if row.account_id is not None]
    _pay_for_accounts(deps, client, reader, "audit", of, shown)
    return rows


def _found(connection: Connection, who: str | None) -> Account | None:
    """The account of this id or address."""
    return (accounts.by_id(connection, who) or accounts.by_email(connection, who)) if who is not None else None


def _named(deps: Deps, found: Account | None, who: str | None) -> str | None:
    """Whom a list was narrowed to, for the trail: an id, or the keyed digest of what is nobody's."""
    if found is not None:
        return found.id
    return None if who is None else _digest(deps, who)


def _digest(deps: Deps, text: str) -> str:
    """The keyed digest of a query. All spellings of an address have one digest."""
    return subject(deps, "support_search", email_key(text) if "@" in text else text.casefold())


def _pay_for_accounts(
    deps: Deps, client: Client, operator: Account, what: str, of: Account | None, account_ids: Collection[str]
) -> None:
    """Pay for the accounts on a page before it is shown: page after page of a list would name all customers."""
    with operators.refusals_recorded(deps, client, operator, of, "view", None, Entry.SUPPORT_VIEWED, what=what):
        found_rows.pay_for_accounts(deps.redis, Charge(SUPPORT_FOUND, operator.id), account_ids)


def list_resets(
    deps: Deps, client: Client, operator: Account, status: Status | None, *, before: str | None, limit: int
) -> list[Reset]:
    """Resets of all accounts, newest first: up to ``limit``, and one more where there are more.

    The operator pays by the account. Raises Refusal too_many_requests.
    """
    operators.record_list(deps, client, operator, "resets", status=status)
    with reading(deps.database) as connection:
        found = resets.listing(connection, status, before=before, limit=limit + 1)
    _pay_for_accounts(deps, client, operator, "resets", None, [reset.account_id for reset in found[:limit]])
    return found


def reset_detail(deps: Deps, client: Client, operator: Account, reset_id: str) -> ResetDetail:
    """One reset. A console that waits for its end asks often, and leaves one entry in ten minutes.

    Raises Refusal not_found.
    """
    with reading(deps.database) as connection:
        reset = resets.by_id(connection, reset_id)
    if reset is None:
        raise Refusal("not_found")
    operators.record_list(deps, client, operator, "reset", operators.subject(deps, reset.account_id))
    with reading(deps.database) as connection:
        rows = timeline.of_reset(connection, reset.account_id, reset.id)
        return ResetDetail(reset, _told(connection, [history.item_of(row) for row in rows]))
