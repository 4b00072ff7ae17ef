"""SQL of known and trusted devices."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from services.auth.models import devices
from shared.ids import new_id, token_digest


@dataclass(frozen=True, slots=True)
class Device:
    """A browser that has completed a second factor. Until ``trusted_until`` it skips the code; else just known."""

    id: str
    account_id: str
    label: str
    created_at: datetime
    last_used_at: datetime
    trusted_until: datetime | None

    def is_trusted(self, now: datetime) -> bool:
        """Whether it may skip the code at ``now``."""
        return self.trusted_until is not None and now < self.trusted_until


def add(
    connection: Connection, *, account_id: str, token: str, label: str, trusted_until: datetime | None, now: datetime
) -> str:
    """Remember a device by the digest of its token; its id."""
    device_id = new_id("dev")
    connection.execute(
        insert(devices).values(
            id=device_id,
            account_id=account_id,
            token_digest=token_digest(token),
            label=label,
            created_at=now,
            last_used_at=now,
            trusted_until=trusted_until,
        )
    )
    return device_id


def by_token(connection: Connection, account_id: str, token: str) -> Device | None:
    """The account's own, unrevoked device of this token; another account's token is no device here."""
    row = connection.execute(
        select(devices).where(
            devices.c.token_digest == token_digest(token),
            devices.c.account_id == account_id,
            devices.c.revoked_at.is_(None),
        )
    ).one_or_none()
    return None if row is None else _device(row)


def trust(connection: Connection, device_id: str, trusted_until: datetime, now: datetime) -> None:
    """Let a known device skip the code until then."""
    connection.execute(
        update(devices).where(devices.c.id == device_id).values(trusted_until=trusted_until, last_used_at=now)
    )


def touch(connection: Connection, device_id: str, now: datetime) -> None:
    """Note that it was used."""
    connection.execute(update(devices).where(devices.c.id == device_id).values(last_used_at=now))


def trusted(connection: Connection, account_id: str, now: datetime, *, after: str, limit: int) -> list[Device]:
    """The devices that skip the code at ``now``."""
    query = (
        select(devices)
        .where(
            devices.c.account_id == account_id,
            devices.c.revoked_at.is_(None),
            devices.c.trusted_until > now,
            devices.c.id > after,
        )
        .order_by(devices.c.id)
        .limit(limit)
    )
    return [_device(row) for row in connection.execute(query)]


def count_trusted(connection: Connection, account_id: str, now: datetime) -> int:
    """How many devices skip the code at ``now``."""
    query = select(func.count()).where(
        devices.c.account_id == account_id, devices.c.revoked_at.is_(None), devices.c.trusted_until > now
    )
    return int(connection.execute(query).scalar_one())


def revoke(connection: Connection, account_id: str, device_id: str, now: datetime) -> bool:
    """Revoke one; False when there is no such device of this account."""
    statement = update(devices).where(
        devices.c.id == device_id, devices.c.account_id == account_id, devices.c.revoked_at.is_(None)
    )
    return connection.execute(statement.values(revoked_at=now)).rowcount == 1


def revoke_all(connection: Connection, account_id: str, created_before: datetime, now: datetime) -> int:
    """Revoke every device of the account made before a moment; how many."""
    statement = update(devices).where(
        devices.c.account_id == account_id, devices.c.revoked_at.is_(None), devices.c.created_at <= created_before
    )
    return connection.execute(statement.values(revoked_at=now)).rowcount


def _device(row: Row[Any]) -> Device:
    return Device(row.id, row.account_id, row.label, row.created_at, row.last_used_at, row.trusted_until)
