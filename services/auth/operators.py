"""What every support call shares: whom it is about, whether it may be, and the record in that account's timeline."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.domain.reset import Reset
from services.auth.store import accounts, resets, timeline
from services.auth.store.timeline import Entry
from shared.database import reading, writing
from shared.problems import Refusal


def note(
    connection: Connection,
    client: Client,
    operator: Account,
    account: Account,
    entry: Entry,
    at: datetime,
    **details: Any,  # noqa: ANN401 - JSON
) -> None:
    """Add to the account's timeline what this operator did."""
    timeline.write(connection, account.id, entry, at, actor=timeline.operator(operator.id), ip=client.ip, **details)


def refuse_own(operator: Account, account: Account) -> None:
    """Nobody is their own support. Raises Refusal own_account."""
    if operator.id == account.id:
        raise Refusal("own_account")


def subject(deps: Deps, account_id: str) -> Account:
    """The account that the call is about. Raises Refusal not_found."""
    with reading(deps.database) as connection:
        account = accounts.by_id(connection, account_id)
    if account is None:
        raise Refusal("not_found")
    return account


def reset_of(deps: Deps, account: Account, reset_id: str) -> Reset:
    """The reset, if it is this account's: a mistyped pair of ids must not touch somebody else's reset.

    Raises Refusal not_found.
    """
    with reading(deps.database) as connection:
        reset = resets.by_id(connection, reset_id)
    if reset is None or reset.account_id != account.id:
        raise Refusal("not_found")
    return reset


@contextmanager
def refusals_recorded(
    deps: Deps, client: Client, operator: Account, account: Account, action: str, ticket: str
) -> Iterator[None]:
    """What an operator tried and was refused stands in the timeline, too."""
    try:
        yield
    except Refusal as refusal:
        with writing(deps.database) as connection:
            facts = {"action": action, "ticket": ticket, "code": refusal.code}
            note(connection, client, operator, account, Entry.RESET_REFUSED, deps.clock(), **facts)
        raise


def record_view(deps: Deps, client: Client, operator: Account, account: Account, what: str) -> None:
    """Note that an operator looks; before anything is shown, so that no look goes unrecorded."""
    with writing(deps.database) as connection:
        note(connection, client, operator, account, Entry.SUPPORT_VIEWED, deps.clock(), what=what)
