"""Recovery codes in SQL: sheets of them, and the claim of one, a statement whose row count is the answer."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from services.otp.domain.attempt import Claim
from services.otp.domain.recovery_code import RecoveryCode
from services.otp.limits import ACCEPTED_AGAIN_FOR
from services.otp.models import recovery_codes
from shared.ids import new_id

_r = recovery_codes.c


def claim_recovery_code(connection: Connection, code_id: str, occasion: str, now: datetime) -> Claim:
    """Spend a code; LOST when it was spent or its sheet was replaced."""
    code = _r.id == code_id
    spend = update(recovery_codes).where(code, _r.spent_at.is_(None)).values(spent_at=now, spent_for=occasion)
    if connection.execute(spend).rowcount == 1:
        return Claim.WON
    same = select(_r.id).where(code, _r.spent_for == occasion, _r.spent_at > now - ACCEPTED_AGAIN_FOR)
    return Claim.LOST if connection.execute(same).first() is None else Claim.REPEATED


def replace_recovery_codes(
    connection: Connection, account_id: str, sheet: Sequence[tuple[RecoveryCode, str]], now: datetime
) -> str:
    """Store a new sheet of codes and their hashes in the place of the old one; its id, which is its first code's."""
    delete_recovery_codes(connection, account_id)
    rows = [
        {"id": new_id("rec"), "account_id": account_id, "selector": code.selector, "hash": hash_, "created_at": now}
        for code, hash_ in sheet
    ]
    connection.execute(insert(recovery_codes), rows)
    return str(rows[0]["id"])


def sheet_stands(connection: Connection, account_id: str, sheet_id: str) -> bool:
    """Whether this sheet was stored, and no other one in its place."""
    query = select(_r.id).where(_r.id == sheet_id, _r.account_id == account_id)
    return connection.execute(query).first() is not None


def sheet_of(connection: Connection, account_id: str) -> str | None:
    """The id of the account's present sheet, as ``sheet_stands`` takes it; None when there is none."""
    query = select(func.min(_r.id)).where(_r.account_id == account_id)
    return connection.execute(query).scalar()


def delete_recovery_codes(connection: Connection, account_id: str) -> None:
    """No code is left."""
    connection.execute(delete(recovery_codes).where(_r.account_id == account_id))


def count_recovery_codes(connection: Connection, account_id: str) -> tuple[int, datetime | None]:
    """How many are left, and when the sheet was made."""
    query = select(func.count().filter(_r.spent_at.is_(None)), func.min(_r.created_at, type_=_r.created_at.type)).where(
        _r.account_id == account_id
    )
    remaining, created_at = connection.execute(query).one()
    return remaining, created_at
