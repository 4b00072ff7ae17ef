"""Turning 2FA on and off: otp does it, auth ends what was signed in before."""

import contextlib
from collections.abc import Iterator
from typing import Any

import structlog

from services.auth import session_store
from services.auth.deps import Deps
from services.auth.domain.account import Account
from services.auth.domain.session import Factor, Session
from services.auth.store import devices
from shared.database import writing
from shared.event_queue import STORE_ERRORS

log = structlog.get_logger("auth.two_factor")


def begin(deps: Deps, account: Account) -> dict[str, Any]:
    """A new pending authenticator. Raises Refusal two_factor_already_on."""
    return deps.otp.begin_enrollment(account.id, account.email)


def confirm(deps: Deps, account: Account, session: Session, token: str, enrollment_id: str, code: str) -> list[str]:
    """2FA is on from here; the recovery codes, shown once. Every other session ends (CVE-2023-31140).

    Raises Refusal invalid_passcode, enrollment_expired, too_many_requests.
    """
    codes = deps.otp.confirm_enrollment(account.id, enrollment_id, code, session.id)
    with _or_else_the_event(account):
        _end_everything_else(deps, account, session, cause=enrollment_id)
        session_store.step_up(deps.redis, session, token, deps.clock(), (Factor.TOTP,))
    return codes


def disable(deps: Deps, account: Account, session: Session) -> None:
    """2FA is off from here. Raises Refusal two_factor_off."""
    deps.otp.disable(account.id, session.id)
    with _or_else_the_event(account):
        _end_everything_else(deps, account, session)


def regenerate_recovery_codes(deps: Deps, account: Account) -> list[str]:
    """A new sheet of recovery codes. Raises Refusal two_factor_off."""
    return deps.otp.regenerate_recovery_codes(account.id)


@contextlib.contextmanager
def _or_else_the_event(account: Account) -> Iterator[None]:
    """What otp has done is done, and its answer (backup codes, shown this once) must reach the owner.

    otp's event ends sessions, logins and devices too, so a store that is down, or a gateway that dies here, leaves
    nothing open for longer than the event takes.
    """
    try:
        yield
    except STORE_ERRORS:
        log.warning("sessions are left to the event", account_id=account.id)


def _end_everything_else(deps: Deps, account: Account, session: Session, cause: str | None = None) -> None:
    session_store.end_all(deps.redis, account.id, spare=session.id, cause=cause)
    now = deps.clock()
    with writing(deps.database) as connection:
        devices.revoke_all(connection, account.id, now, now)
