"""SQL of what support's reset does to the authenticators that it names."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from services.otp.domain.purpose import Factor
from services.otp.models import ACTIVE, PENDING, REVOKED, authenticators

_a = authenticators.c


def accepted_since(
    connection: Connection, account_id: str, ids: Collection[str], factors: Collection[str], moment: datetime
) -> Factor | None:
    """Which of these factors was accepted after ``moment``; None when none was.

    That is a code of these authenticators, or a recovery code in their place. The active ones stay locked until the
    transaction ends, so that no code is accepted meanwhile.
    """
    query = select(_a.last_used_at, _a.recovery_code_used_at).where(
        _a.account_id == account_id, _a.status == ACTIVE, _a.id.in_(ids)
    )
    for row in connection.execute(query.with_for_update()):
        for factor, at in ((Factor.TOTP, row.last_used_at), (Factor.RECOVERY_CODE, row.recovery_code_used_at)):
            if factor in factors and at is not None and at > moment:
                return factor
    return None


def revoke_named(connection: Connection, account_id: str, ids: Collection[str], now: datetime) -> int:
    """Revoke those of these authenticators that are active, with their secrets wiped; how many.

    Where one was, what waits to be confirmed is forgotten too.
    """
    statement = (
        update(authenticators)
        .where(_a.account_id == account_id, _a.status == ACTIVE, _a.id.in_(ids))
        .values(status=REVOKED, revoked_at=now, key_id=None, ciphertext=None, suspended_for=None)
    )
    revoked = connection.execute(statement).rowcount
    if revoked:
        connection.execute(delete(authenticators).where(_a.account_id == account_id, _a.status == PENDING))
    return revoked


def suspend(connection: Connection, account_id: str, ids: Collection[str], cause: str) -> int:
    """Suspend those of these authenticators that are active, for this reset or restore; how many."""
    statement = update(authenticators).where(_a.account_id == account_id, _a.status == ACTIVE, _a.id.in_(ids))
    return connection.execute(statement.values(suspended_for=cause)).rowcount


def reinstate(connection: Connection, account_id: str, reset_id: str) -> int:
    """Accept again what was suspended for this reset; how many."""
    statement = update(authenticators).where(_a.account_id == account_id, _a.suspended_for == reset_id)
    return connection.execute(statement.values(suspended_for=None)).rowcount
