"""What support and the team page see, as documents."""

from dataclasses import asdict
from typing import Any

from services.auth import history, phone_numbers, views
from services.auth.domain.account import Account
from services.auth.store.timeline import OperatorRow
from services.auth.support import AccountDetail


def phone_document(account: Account) -> dict[str, Any] | None:
    """The proven phone, masked."""
    if account.phone is None:
        return None
    landline = phone_numbers.is_landline(account.phone)
    return {"hint": views.hint(account.phone), "verified": True, "calls_only": landline}


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
        "held_out": detail.held_out,
        "two_factor": {
            "enabled": two_factor.enabled,
            "locked": two_factor.locked,
            "locked_everywhere": two_factor.locked_everywhere,
            "reset_needed": two_factor.reset_needed,
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
        "open_unlock": None
        if detail.open_unlock is None
        else {**asdict(detail.open_unlock), "requested_by_email": detail.open_unlock_by},
    }


def audit_document(found: OperatorRow) -> dict[str, Any]:
    """One line of support's trail."""
    return {
        **asdict(history.item_of(found.row)),
        "account_id": found.account_id,
        "account_email": found.account_email,
        "operator_email": found.operator_email,
    }
