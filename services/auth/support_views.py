"""What support and the team page see, as documents."""

from dataclasses import asdict
from typing import Any

from services.auth import history, views
from services.auth.domain import reset_policy
from services.auth.domain.account import Account
from services.auth.domain.reset_policy import Path
from services.auth.store.timeline import OperatorRow
from services.auth.support import AccountDetail


def phone_document(account: Account) -> dict[str, Any] | None:
    """The proven phone, masked."""
    return None if account.phone is None else {"hint": views.hint(account.phone), "verified": True}


def account_document(detail: AccountDetail) -> dict[str, Any]:
    """One account for support."""
    account, two_factor = detail.account, detail.two_factor
    return {
        "id": account.id,
        "email": account.email,
        "name": account.name,
        "role": account.role,
        "created_at": account.created_at,
        "team": {"id": account.team_id, "name": detail.team_name},
        "phone": phone_document(account),
        "pending_phone_hint": views.hint(account.pending_phone),
        "enrollment_prompted": account.enrollment_prompted,
        "password_throttled_until": detail.password_throttled_until,
        "two_factor": {
            "enabled": two_factor.enabled,
            "locked": two_factor.locked,
            "locked_everywhere": two_factor.locked_everywhere,
            "throttles": detail.throttles,
            "consecutive_failures": two_factor.consecutive_failures,
            "authenticators": two_factor.authenticators,
            "recovery_codes": {
                "remaining": two_factor.recovery_codes_remaining,
                "created_at": two_factor.recovery_codes_created_at,
            },
        },
        "trusted_devices": detail.trusted_devices,
        "sessions": detail.sessions,
        "open_reset": detail.open_reset,
    }


def audit_document(found: OperatorRow) -> dict[str, Any]:
    """One line of support's trail."""
    return {
        **asdict(history.item_of(found.row)),
        "account_id": found.account_id,
        "account_email": found.account_email,
        "operator_email": found.operator_email,
    }


def reset_policy_document(cool_off_seconds: int) -> dict[str, Any]:
    """The policy table."""
    return {
        "checks": [{"id": name, **asdict(check)} for name, check in reset_policy.CHECKS.items()],
        "rules": [
            {
                "name": rule.name,
                "identity_checks": reset_policy.in_order(rule.all_of),
                "path": rule.path,
                "second_operator": rule.second_operator,
                "cool_off_seconds": cool_off_seconds if rule.path is Path.COOL_OFF else 0,
            }
            for rule in reset_policy.RULES
        ],
    }
