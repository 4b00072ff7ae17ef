"""Resets, identity checks and the policy, as documents."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.auth import identity_checks, reset_steps
from services.auth.deps import Deps
from services.auth.domain import reset_policy
from services.auth.domain.account import Account
from services.auth.domain.identity_checks import CHECKS, Times
from services.auth.domain.reset import REFUSED_WITH, Path, Reset
from services.auth.domain.reset_policy import CoolOff, Rule
from services.auth.identity_checks import CheckTable, CheckView
from services.auth.owner_approvals import Approval
from services.auth.store import accounts
from services.auth.store.identity_checks import IdentityCheck
from shared.database import reading


def reset_documents(deps: Deps, operator: Account, found: list[Reset]) -> list[dict[str, Any]]:
    """Resets as this operator sees them: who asked and approved, and whether this operator may approve.

    The rule of an approval is evaluated, so no approval is offered that would be refused.
    """
    now = deps.clock()
    refused = {reset.id: reset.why_not_approved_by(operator.id, now) for reset in found}
    offered = [reset for reset in found if refused[reset.id] is None]
    able = identity_checks.with_second_factor(deps, {owner for reset in offered for owner in reset.confirmed_by})
    with reading(deps.database) as connection:
        people = {person for reset in found for person in reset.operators | reset.confirmed_by}
        known = accounts.by_ids(connection, people | {reset.account_id for reset in found})
        for reset in offered:
            refused[reset.id] = _reason_to_end(connection, deps, reset, now, able)
    return [_reset_document(reset, known, refused[reset.id]) for reset in found]


def reset_document(deps: Deps, operator: Account, reset: Reset) -> dict[str, Any]:
    """One of them."""
    return reset_documents(deps, operator, [reset])[0]


def _reason_to_end(
    connection: Connection, deps: Deps, reset: Reset, now: datetime, able: Collection[str]
) -> str | None:
    """The problem code with which an approval would be refused because the reset must end, or None."""
    account = accounts.by_id(connection, reset.account_id)
    because = account and reset_steps.reason_to_end(connection, deps, account, reset, now, able=able)
    return REFUSED_WITH[because] if because else None


def _reset_document(reset: Reset, known: Mapping[str, Account], refused: str | None) -> dict[str, Any]:
    emails = {person: account.email for person, account in known.items()}
    account = known.get(reset.account_id)
    document = asdict(reset)
    checks = document.pop("evidence")
    document["checks"] = [{**check, "confirmed_by_email": emails.get(check["confirmed_by"])} for check in checks]
    return {
        **document,
        "account_email": account and account.email,
        "account_name": account and account.name,
        "approvals_missing": reset.approvals_missing,
        "requested_by_email": emails.get(reset.requested_by or ""),
        "approved_by_email": emails.get(reset.approved_by or ""),
        "second_approved_by_email": emails.get(reset.second_approved_by or ""),
        "may_approve": refused is None,
        "may_not_approve_because": refused,
    }


def check_document(check: IdentityCheck, times: Times) -> dict[str, Any]:
    """A check that was begun. It can be passed until its life is over, and then stands as long again."""
    return {**asdict(check), "expires_at": (check.passed_at or check.begun_at) + times.check_life}


def check_table(table: CheckTable, times: Times) -> dict[str, Any]:
    """The table of checks, and what the standing ones allow."""
    return {
        "items": [check_row(view, times) for view in table.rows],
        "allows": None if table.rule is None else rule_document(table.rule, times),
    }


def check_row(view: CheckView, times: Times) -> dict[str, Any]:
    """A row of the table of checks."""
    return {
        "check": view.name,
        **asdict(view.check),
        "possible": view.why_not is None,
        "why_not": view.why_not,
        "sent_to": view.sent_to,
        "latest": None if view.latest is None else check_document(view.latest, times),
    }


def approval_document(approval: Approval, times: Times) -> dict[str, Any]:
    """A question to an owner."""
    return {
        "id": approval.check.id,
        "status": approval.check.status,
        "member_id": approval.member.id,
        "member_name": approval.member.name,
        "member_email": approval.member.email,
        "asked_at": approval.check.begun_at,
        "expires_at": approval.check.begun_at + times.check_life,
    }


def policy_document(times: Times) -> dict[str, Any]:
    """The policy table."""
    return {
        "checks": [{"id": name, **asdict(check)} for name, check in CHECKS.items()],
        "rules": [rule_document(rule, times) for rule in reset_policy.RULES],
    }


def rule_document(rule: Rule, times: Times) -> dict[str, Any]:
    """A rule of the policy."""
    return {
        "name": rule.name,
        "when": rule.when,
        "identity_checks": reset_policy.in_order(rule.all_of),
        "path": Path.IMMEDIATE if rule.cool_off is CoolOff.NONE else Path.COOL_OFF,
        "approvals": rule.approvals,
        "cool_off_seconds": int(reset_policy.cool_off_of(rule, times).total_seconds()),
    }
