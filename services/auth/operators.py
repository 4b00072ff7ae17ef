"""What support calls share: finding the account, refusing the own one, writing for a live session, and recording."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection

from services.auth import consequences
from services.auth.consequences import Acting
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.domain.reset import Reset
from services.auth.limits import LOOK_LASTS
from services.auth.store import accounts, resets, timeline
from services.auth.store.timeline import Entry
from shared.database import reading, writing
from shared.problems import Refusal


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator who makes a write of support: the account, and the session that orders the write."""

    account: Account
    acting: Acting

    @property
    def id(self) -> str:
        """The account's id."""
        return self.account.id


def writes(deps: Deps, operator: Operator, account: Account) -> AbstractContextManager[Connection]:
    """A transaction that holds both accounts; it commits only if the operator's session is live in it.

    Raises Refusal not_authenticated.
    """
    return consequences.holding(deps, operator.acting, account.id)


def note(
    connection: Connection,
    client: Client,
    operator: Account,
    account: Account | None,
    entry: Entry,
    at: datetime,
    **details: Any,  # noqa: ANN401 - JSON
) -> None:
    """Record what this operator did: in the account's timeline, or in nobody's where no account is concerned."""
    account_id = None if account is None else account.id
    timeline.write(connection, account_id, entry, at, actor=timeline.operator(operator.id), ip=client.ip, **details)


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
    deps: Deps,
    client: Client,
    operator: Account,
    account: Account | None,
    action: str,
    ticket: str | None,
    entry: Entry = Entry.RESET_REFUSED,
    **details: str,
) -> Iterator[None]:
    """What an operator tried and was refused stands in the timeline, too."""
    try:
        yield
    except Refusal as refusal:
        with writing(deps.database) as connection:
            facts = {"action": action, "code": refusal.code, **details} | ({"ticket": ticket} if ticket else {})
            note(connection, client, operator, account, entry, deps.clock(), **facts)
        raise


def asked_reset(deps: Deps, client: Client, operator: Account, account: Account, reset_id: str, action: str) -> Reset:
    """The account's reset that an operator acts on. Raises Refusal not_found, which the timeline records."""
    with refusals_recorded(deps, client, operator, account, action, None):
        return reset_of(deps, account, reset_id)


def record_view(deps: Deps, client: Client, operator: Account, account: Account, what: str) -> None:
    """Note that an operator looks; before anything is shown, so that no look goes unrecorded."""
    with writing(deps.database) as connection:
        note(connection, client, operator, account, Entry.SUPPORT_VIEWED, deps.clock(), what=what)


def record_list(
    deps: Deps, client: Client, operator: Account, what: str, of: Account | None = None, **wanted: str | None
) -> None:
    """Note a look at a list, or at a page that refreshes itself: one entry in LOOK_LASTS, before anything is shown.

    ``wanted``: the list's filters, without personal data; another filter is another look. The entry is committed before
    Redis remembers the look, so a gateway that is killed in between leaves no look without an entry. Of looks at the
    same moment each leaves one.
    """
    chosen = {name: value for name, value in wanted.items() if value is not None}
    key = f"auth:look:{operator.id}:{what}:{'' if of is None else of.id}:{urlencode(chosen)}"
    if deps.redis.exists(key):
        return
    with writing(deps.database) as connection:
        note(connection, client, operator, of, Entry.SUPPORT_VIEWED, deps.clock(), what=what, **chosen)
    deps.redis.set(key, 1, ex=int(LOOK_LASTS.total_seconds()))
