"""Stored secrets by the key that holds them, for key rotation."""

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from services.otp.models import authenticators
from services.otp.secrets_box import Sealed

_a = authenticators.c


@dataclass(frozen=True, slots=True)
class SealedRow:
    """A stored secret and whose it is."""

    id: str
    account_id: str
    sealed: Sealed


def list_sealed_under_other_keys(connection: Connection, key_id: str) -> list[SealedRow]:
    """The secrets that another key than this one holds."""
    query = select(_a.id, _a.account_id, _a.key_id, _a.ciphertext).where(
        _a.ciphertext.is_not(None), _a.key_id != key_id
    )
    return [SealedRow(row.id, row.account_id, Sealed(row.key_id, row.ciphertext)) for row in connection.execute(query)]


def replace_sealed(connection: Connection, row: SealedRow, sealed: Sealed) -> int:
    """Put the new ciphertext where the old one still stands; 0 when the row was revoked meanwhile."""
    statement = update(authenticators).where(_a.id == row.id, _a.ciphertext == row.sealed.ciphertext)
    return connection.execute(statement.values(key_id=sealed.key_id, ciphertext=sealed.ciphertext)).rowcount
