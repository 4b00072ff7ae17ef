"""What every support call shares: whom it is about, whether it may be, and the record in that account's timeline."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.domain.reset import Reset
from services.auth.store import accounts, resets, timeline
from services.auth.store.timeline import Entry
from shared.database import reading, writing
from shared.problems import Refusal


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
            timeline.write(
                connection,
                account.id,
                Entry.RESET_REFUSED,
                deps.clock(),
                actor=timeline.operator(operator.id),
                ip=client.ip,
                action=action,
                ticket=ticket,
                code=refusal.code,
            )
        raise


def record_view(deps: Deps, client: Client, operator: Account, account: Account, what: str) -> None:
    """Note that an operator looks; before anything is shown, so that no look goes unrecorded."""
    with writing(deps.database) as connection:
        timeline.write(
            connection,
            account.id,
            Entry.SUPPORT_VIEWED,
            deps.clock(),
            actor=timeline.operator(operator.id),
            ip=client.ip,
            what=what,
        )
