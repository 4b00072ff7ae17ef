"""Stored values as the documents that callers see."""

from typing import Any

from services.auth import step_up
from services.auth.deps import Deps
from services.auth.domain.account import Account
from services.auth.domain.session import Factor, Session
from shared.phone import PhoneNumber


def hint(phone: PhoneNumber | None) -> str | None:
    """A phone as pages may show it."""
    return None if phone is None else phone.masked()


def account_document(account: Account) -> dict[str, Any]:
    """The account's own view of itself."""
    return {
        "id": account.id,
        "email": account.email,
        "name": account.name,
        "role": account.role,
        "phone_hint": hint(account.phone),
        "pending_phone_hint": hint(account.pending_phone),
        "language": account.language,
    }


def must_enroll(account: Account, session: Session) -> bool:
    """Whether the session may only turn 2FA on: after a reset, or for an operator without 2FA."""
    return account.enrollment_prompted or (account.must_enroll and session.factors == (Factor.PASSWORD,))


def session_document(deps: Deps, account: Account, session: Session) -> dict[str, Any]:
    """A session with its account, what it may do and what is due."""
    window = step_up.window(session, deps.clock())
    return {
        "id": session.id,
        "account": account_document(account),
        "factors": list(session.factors),
        "assurance": session.assurance,
        "transport": session.transport,
        "authenticated_at": session.authenticated_at,
        "expires_at": session.expires_at,
        "step_up_until": window.ends_at if window else None,
        "step_up": window.step_up if window else None,
        "prompts": ["enroll_two_factor"] if must_enroll(account, session) else [],
    }
