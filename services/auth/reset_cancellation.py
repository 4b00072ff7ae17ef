"""Calling a reset off, while it waits for something: by an operator, or by the owner from session or notice."""

from dataclasses import replace

from services.auth import notices, operators
from services.auth.deps import Client, Deps, by_ip
from services.auth.domain.account import Account
from services.auth.domain.notice_texts import Kind
from services.auth.domain.reset import CANCELLABLE, Reset, Status
from services.auth.limits import RESET_CANCEL_IP
from services.auth.store import accounts, timeline
from services.auth.store import resets as store
from services.auth.store.timeline import OWNER, Entry
from shared import budgets
from shared.database import reading, writing
from shared.problems import Refusal


def cancel(deps: Deps, client: Client, operator: Account, account_id: str, reset_id: str) -> Reset:
    """Any operator calls it off. Raises Refusal not_found, reset_not_open."""
    account = operators.subject(deps, account_id)
    asked = operators.reset_of(deps, account, reset_id)
    with operators.refusals_recorded(deps, client, operator, account, "cancel", asked.ticket):
        return _cancel(deps, client, account, asked, by=operator.id, actor=timeline.operator(operator.id))


def cancel_own(deps: Deps, client: Client, account: Account, reset_id: str) -> None:
    """The owner, signed in, calls it off. Raises Refusal not_found, reset_not_open."""
    _cancel(deps, client, account, operators.reset_of(deps, account, reset_id), by=account.id, actor=OWNER)


def cancel_by_token(deps: Deps, client: Client, token: str) -> None:
    """The owner calls it off with the link from the notice.

    Raises Refusal not_found, reset_not_open, too_many_requests.
    """
    budgets.take(deps.redis, by_ip(deps, RESET_CANCEL_IP, client)).require()
    with reading(deps.database) as connection:
        reset = store.by_cancel_token(connection, token)
        account = accounts.by_id(connection, reset.account_id) if reset else None
    if reset is None or account is None:
        raise Refusal("not_found")
    _cancel(deps, client, account, reset, by=account.id, actor=OWNER)


def _cancel(deps: Deps, client: Client, account: Account, reset: Reset, *, by: str, actor: str) -> Reset:
    now = deps.clock()
    with writing(deps.database) as connection:
        if not store.move(connection, reset.id, CANCELLABLE, Status.CANCELLED, cancelled_by=by, cancelled_at=now):
            raise Refusal("reset_not_open")
        timeline.write(connection, account.id, Entry.RESET_CANCELLED, now, actor=actor, ip=client.ip, reset_id=reset.id)
        notices.tell(connection, deps, account, Kind.RESET_CANCELLED, now)
    return replace(reset, status=Status.CANCELLED, cancelled_by=by, cancelled_at=now)
