"""Support's removal of two-factor authentication: requested, approved, waited out.

Row, timeline, notices and event are one transaction. otp does the removal when it hears TwoFactorResetApproved.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.auth import notices, operators
from services.auth.deps import Client, Deps
from services.auth.domain import reset_policy
from services.auth.domain.account import Account
from services.auth.domain.notice_texts import Kind, written
from services.auth.domain.reset import AFTER_APPROVAL, Reset, Status, cool_off_end
from services.auth.domain.reset_policy import Path
from services.auth.models import BOX
from services.auth.store import resets as store
from services.auth.store.timeline import Entry
from shared import outbox
from shared.database import writing
from shared.ids import new_id, new_token
from shared.messages import TwoFactorResetApproved, TwoFactorResetCoolOffEnded
from shared.problems import Refusal


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """What support says: the ticket, why, and how the caller was identified (ids of reset_policy.CHECKS)."""

    ticket: str
    reason: str
    identity_checks: list[str]


def request(deps: Deps, client: Client, operator: Account, account_id: str, asked: ResetRequest) -> Reset:
    """Open a reset on the path that the identity checks allow.

    Raises Refusal not_found, own_account, identity_checks_insufficient, two_factor_off, reset_already_open;
    Unavailable.
    """
    account = operators.subject(deps, account_id)
    with operators.refusals_recorded(deps, client, operator, account, "request", asked.ticket):
        operators.refuse_own(operator, account)
        rule = reset_policy.decide(asked.identity_checks)
        if rule is None:
            raise Refusal("identity_checks_insufficient")
        if not deps.otp.state(account.id).enabled:
            raise Refusal("two_factor_off")
        now = deps.clock()
        token = new_token()
        status = Status.AWAITING_APPROVAL if rule.second_operator else AFTER_APPROVAL[rule.path]
        reset = Reset(
            id=new_id("rst"),
            account_id=account.id,
            status=status,
            path=rule.path,
            rule=rule.name,
            needs_second_operator=rule.second_operator,
            ticket=asked.ticket,
            reason=asked.reason,
            identity_checks=reset_policy.in_order(asked.identity_checks),
            requested_by=operator.id,
            requested_at=now,
            cool_off_ends_at=_cool_off_end(deps, rule.path, now) if status is Status.COOLING_OFF else None,
            approved_by=None,
            approved_at=now if status is Status.APPROVED else None,
            applied_at=None,
            cancelled_by=None,
            cancelled_at=None,
        )
        with writing(deps.database) as connection:
            store.add(connection, reset, token)
            operators.note(
                connection,
                client,
                operator,
                account,
                Entry.RESET_REQUESTED,
                now,
                reset_id=reset.id,
                status=status,
                ticket=reset.ticket,
                rule=rule.name,
                identity_checks=reset.identity_checks,
            )
            _set_off(connection, reset, now)
            cancel_url = f"{deps.settings.public_origin}/reset/cancel#{token}"  # a fragment reaches no server's log
            kind = Kind.RESET_STARTED if status is Status.APPROVED else Kind.RESET_REQUESTED
            notices.tell(connection, deps, account, kind, now, schedule=_schedule(reset), cancel_url=cancel_url)
    return reset


def approve(deps: Deps, client: Client, operator: Account, account_id: str, reset_id: str) -> Reset:
    """The second operator agrees. Raises Refusal not_found, own_account, same_operator, reset_not_open."""
    account = operators.subject(deps, account_id)
    asked = operators.reset_of(deps, account, reset_id)
    with operators.refusals_recorded(deps, client, operator, account, "approve", asked.ticket):
        operators.refuse_own(operator, account)
        if asked.requested_by == operator.id:
            raise Refusal("same_operator")
        now = deps.clock()
        reset = replace(
            asked,
            status=AFTER_APPROVAL[asked.path],
            approved_by=operator.id,
            approved_at=now,
            cool_off_ends_at=_cool_off_end(deps, asked.path, now),
        )
        with writing(deps.database) as connection:
            moved = store.move(
                connection,
                reset.id,
                [Status.AWAITING_APPROVAL],
                reset.status,
                approved_by=operator.id,
                approved_at=now,
                cool_off_ends_at=reset.cool_off_ends_at,
            )
            if not moved:
                raise Refusal("reset_not_open")
            facts = {"reset_id": reset.id, "status": reset.status}
            operators.note(connection, client, operator, account, Entry.RESET_APPROVED, now, **facts)
            _set_off(connection, reset, now)
            kind = Kind.RESET_STARTED if reset.status is Status.APPROVED else Kind.RESET_SCHEDULED
            notices.tell(connection, deps, account, kind, now, schedule=_schedule(reset))
    return reset


def open_reset(connection: Connection, account_id: str) -> Reset | None:
    """The reset under way, for the owner's own view."""
    return store.open_of(connection, account_id)


def _set_off(connection: Connection, reset: Reset, now: datetime) -> None:
    """Record the message that carries the reset on from the status it has just entered."""
    if reset.status is Status.COOLING_OFF:
        ended = TwoFactorResetCoolOffEnded(
            id=new_id("msg"), occurred_at=now, account_id=reset.account_id, reset_id=reset.id
        )
        outbox.record(connection, BOX, ended, not_before=reset.cool_off_ends_at)
    elif reset.status is Status.APPROVED:
        record_approved(connection, reset.account_id, reset.id, now)


def record_approved(connection: Connection, account_id: str, reset_id: str, now: datetime) -> None:
    """Let otp carry the reset out."""
    outbox.record(
        connection,
        BOX,
        TwoFactorResetApproved(id=new_id("msg"), occurred_at=now, account_id=account_id, reset_id=reset_id),
    )


def _schedule(reset: Reset) -> str:
    """When it will happen, and so how long it can be cancelled."""
    if reset.cool_off_ends_at is not None:
        return f"This happens at {written(reset.cool_off_ends_at)} unless you cancel it before."
    if reset.path is Path.COOL_OFF:
        return "It waits for a second operator and then for a cool-off; you can cancel it until that ends."
    return "It waits for a second operator; you can cancel it until then."


def _cool_off_end(deps: Deps, path: Path, now: datetime) -> datetime | None:
    return cool_off_end(path, now, timedelta(seconds=deps.settings.reset_cool_off_seconds))
