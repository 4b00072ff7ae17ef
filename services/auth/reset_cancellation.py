"""Cancelling a reset that waits: by an operator, or by the owner from a session or with the link in a notice.

A cancel ends the identity checks too, and new ones are not possible for a while.
"""

from dataclasses import replace

from sqlalchemy import Connection

from services.auth import cancel_links, consequences, identity_checks, notices, operators, reset_steps
from services.auth.consequences import Acting
from services.auth.deps import Client, Deps, by_network
from services.auth.domain.account import Account
from services.auth.domain.notice_texts import Kind
from services.auth.domain.reset import CANCELLABLE, OVER_WITHOUT_EFFECT, ReasonKind, Reset, Status
from services.auth.limits import RESET_CANCEL_IP
from services.auth.operators import Operator
from services.auth.store import accounts, timeline
from services.auth.store import identity_checks as check_store
from services.auth.store import resets as store
from services.auth.store.identity_checks import IdentityCheck
from services.auth.store.timeline import OWNER, Entry
from shared import budgets
from shared.database import reading, writing
from shared.problems import Refusal


def cancel(deps: Deps, client: Client, operator: Operator, account_id: str, reset_id: str) -> Reset:
    """Any other operator cancels it. Raises Refusal not_found, own_account, reset_not_open, not_authenticated."""
    account = operators.subject(deps, account_id)
    asked = operators.asked_reset(deps, client, operator.account, account, reset_id, "cancel")
    with operators.refusals_recorded(deps, client, operator.account, account, "cancel", asked.ticket):
        operators.refuse_own(operator.account, account)
        with operators.writes(deps, operator, account) as connection:
            by, actor = operator.id, timeline.operator(operator.id)
            cancelled = _cancel(connection, deps, client, account, asked, by=by, actor=actor)
        if cancelled is None:
            raise Refusal("reset_not_open")
    return cancelled


def cancel_own(deps: Deps, client: Client, account: Account, acting: Acting, reset_id: str) -> None:
    """The owner, signed in, cancels it; no session does where the factor was stolen, for the thief may hold it.

    A repeat of the call finds the reset cancelled, and records nothing. So does a call for a reset that has ended.
    Raises Refusal not_found, reset_not_open (it is approved or applied), forbidden, not_authenticated.
    """
    reset = operators.reset_of(deps, account, reset_id)
    if reset.reason_kind is ReasonKind.STOLEN and reset.status in CANCELLABLE:
        raise Refusal("forbidden", detail="Cancel it by the link in our mail, or sign in with a backup code.")
    with consequences.holding(deps, acting) as connection:
        is_over = _cancel_as_owner(connection, deps, client, account, reset) or _is_over(connection, reset)
    if not is_over:
        raise Refusal("reset_not_open")


def cancel_by_token(deps: Deps, client: Client, token: str) -> None:
    """The owner cancels with the link from a notice: the reset, or the checks that would lead to one.

    The link of a check is valid while the check may lead to a reset, and while a reset that it may have led to is open.
    So a reader of an old mail cannot stop a later reset. Raises Refusal not_found, reset_not_open, texted_link,
    too_many_requests.
    """
    budgets.take(deps.redis, *by_network(deps, RESET_CANCEL_IP, client.ip)).require()
    with reading(deps.database) as connection:
        link = store.cancel_link(connection, token)
        account = accounts.by_id(connection, link.account_id) if link else None
        reset = store.by_id(connection, link.reset_id) if link and link.reset_id else None
        check = check_store.by_id(connection, link.check_id) if link and link.check_id else None
    if link is None or account is None or (reset is None and check is None):
        raise Refusal("not_found")
    with writing(deps.database) as connection:
        accounts.hold(connection, account.id)  # as a request does: it has stored its reset, or not used the checks
        cancel_links.refuse_texted(connection, account, link)
        if check is not None:
            is_done = _cancel_from(connection, deps, client, account, check)
        else:
            is_done = reset is not None and _cancel_as_owner(connection, deps, client, account, reset)
    if not is_done:
        raise Refusal("reset_not_open")


def _cancel_from(connection: Connection, deps: Deps, client: Client, account: Account, check: IdentityCheck) -> bool:
    """Cancel the checks, and the reset that this check may have led to.

    False when nothing is left to cancel, or when that reset can no longer be cancelled. The checks end all the same.
    """
    now = deps.clock()
    counts_until = (check.passed_at or check.begun_at) + deps.settings.reset_times.check_life
    reset = store.open_of(connection, account.id)
    if reset is not None and not check.begun_at <= reset.requested_at <= counts_until:
        reset = None
    if reset is None and now >= counts_until:
        return False
    identity_checks.cancel(connection, client, account, now, actor=OWNER)
    return reset is None or _cancel_as_owner(connection, deps, client, account, reset)


def _is_over(connection: Connection, reset: Reset) -> bool:
    """Whether the reset was cancelled or has ended, as it stands now."""
    found = store.by_id(connection, reset.id)
    return found is not None and found.status in OVER_WITHOUT_EFFECT


def _cancel_as_owner(connection: Connection, deps: Deps, client: Client, account: Account, reset: Reset) -> bool:
    return _cancel(connection, deps, client, account, reset, by=account.id, actor=OWNER) is not None


def _cancel(
    connection: Connection,
    deps: Deps,
    client: Client,
    account: Account,
    reset: Reset,
    *,
    by: str,
    actor: str,
) -> Reset | None:
    """The reset as it stands when it is cancelled; None when it can no longer be."""
    now = deps.clock()
    if not store.move(connection, reset.id, CANCELLABLE, Status.CANCELLED, cancelled_by=by, cancelled_at=now):
        return None
    reset_steps.record_reinstated(connection, deps, reset, now)
    check_store.end_all(connection, account.id)
    timeline.write(connection, account.id, Entry.RESET_CANCELLED, now, actor=actor, ip=client.ip, reset_id=reset.id)
    notices.tell(connection, deps, account, Kind.RESET_CANCELLED, now)
    return replace(reset, status=Status.CANCELLED, cancelled_by=by, cancelled_at=now)
