"""Step-up: proving oneself again before something that matters (ASVS 7.5.1)."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from services.auth import limits, session_store
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.domain.session import Factor, Session
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge
from shared.database import reading, writing
from shared.problems import Refusal


def reauthenticate(
    deps: Deps, client: Client, account: Account, session: Session, token: str, *, password: str, code: str | None
) -> Session:
    """Open the step-up window: password, and with 2FA on a code too. The session as it stands now.

    The tries come from a budget of their own, so that a stolen session is no password oracle beside the login's.
    Raises Refusal invalid_credentials, invalid_passcode, too_many_requests; Unavailable.
    """
    now = deps.clock()
    charge = Charge(limits.REAUTHENTICATE, account.id)
    budgets.take(deps.redis, charge).require()
    with budgets.given_back_on_outage(deps.redis, charge):
        factors = _proven(deps, account, session, password, code)
        # The row first, the window before the commit: what can't be recorded opens nothing, and a second try with the
        # same code finds otp of the same mind for a minute. A commit that fails after all leaves the window open, for
        # a proof that was given; the caller hears 503 and the next try records it.
        with writing(deps.database) as connection:
            proof: dict[str, Any] = {"session_id": session.id, "factors": list(factors)}
            timeline.write(connection, account.id, Entry.STEPPED_UP, now, ip=client.ip, **proof)
            if not session_store.step_up(deps.redis, session, token, now, factors):
                raise Refusal("not_authenticated")
    budgets.refund(deps.redis, charge)
    return replace(session, stepped_up_at=now, factors=tuple(dict.fromkeys((*session.factors, *factors))))


def _proven(deps: Deps, account: Account, session: Session, password: str, code: str | None) -> tuple[Factor, ...]:
    with reading(deps.database) as connection:
        encoded = accounts.password_hash(connection, account.id)
    if encoded is None or not deps.hashing.verify(encoded, password):
        raise Refusal("invalid_credentials", detail="The password is wrong.")
    if not deps.otp.state(account.id).enabled:
        return (Factor.PASSWORD,)
    if code is None:
        raise Refusal(
            "validation_failed", extra={"errors": {"code": ["Two-factor authentication is on: send a code."]}}
        )
    return Factor.PASSWORD, Factor(deps.otp.verify(account.id, code, "step_up", session.id).factor)


def window_ends_at(session: Session, now: datetime) -> datetime | None:
    """Until when marked calls pass, or None when the window is shut."""
    if session.stepped_up_at is None or now - session.stepped_up_at > limits.STEP_UP_LIFE:
        return None
    return session.stepped_up_at + limits.STEP_UP_LIFE
