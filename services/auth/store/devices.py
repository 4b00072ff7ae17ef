"""SQL of known and trusted devices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, func, insert, or_, select, update

from services.auth.domain.session import Factor
from services.auth.limits import KNOWN_DEVICE_LIFE
from services.auth.models import devices
from shared.ids import token_digest


@dataclass(frozen=True, slots=True)
class Device:
    """A client that has completed a login. Until ``trusted_until`` it skips the code; else it is just known.

    It is known until it is ended, and for KNOWN_DEVICE_LIFE after its last login. ``won_by`` is the last factor of that
    login, which is the password where 2FA was off; None for one that an earlier release has stored, which was a second
    factor.
    """

    id: str
    account_id: str
    label: str
    created_at: datetime
    last_used_at: datetime
    trusted_until: datetime | None
    won_by: Factor | None = None

    def is_trusted(self, now: datetime) -> bool:
        """Whether it may skip the code at ``now``."""
        return self.trusted_until is not None and now < self.trusted_until

    def ends_at(self, now: datetime) -> datetime:
        """When it stops to skip the code or, if it does not, to be known, without a use until then."""
        if self.trusted_until is not None and self.is_trusted(now):
            return self.trusted_until
        return self.last_used_at + KNOWN_DEVICE_LIFE


def _known(now: datetime) -> ColumnElement[bool]:
    return and_(devices.c.revoked_at.is_(None), devices.c.last_used_at > now - KNOWN_DEVICE_LIFE)


_ADD = insert(devices)


def add(connection: Connection, device: Device, token: str) -> None:
    """Remember a device by the digest of its token."""
    connection.execute(_ADD, {"id": device.id, "account_id": device.account_id, **_values(device, token)})


def renew(connection: Connection, device: Device, token: str) -> bool:
    """Give a device a new token under its id, so that it still names the sessions it has opened; the old one is void.

    False when the account has no such device.
    """
    statement = update(devices).where(
        devices.c.id == device.id, devices.c.account_id == device.account_id, _known(device.last_used_at)
    )
    return connection.execute(statement.values(**_values(device, token))).rowcount == 1


def _values(device: Device, token: str) -> dict[str, Any]:
    return {
        "token_digest": token_digest(token),
        "label": device.label,
        "created_at": device.created_at,
        "last_used_at": device.last_used_at,
        "trusted_until": device.trusted_until,
        "won_by": device.won_by,
    }


def by_tokens(connection: Connection, account_id: str, tokens: Sequence[str], now: datetime) -> Device | None:
    """The account's own known device of one of these tokens; another account's token is no device here.

    Of several, the one that is trusted the longest.
    """
    found = all_by_tokens(connection, account_id, tokens, now)
    return found[0] if found else None


def all_by_tokens(connection: Connection, account_id: str, tokens: Sequence[str], now: datetime) -> list[Device]:
    """The account's own known devices of these tokens, the one that is trusted the longest first."""
    if not tokens:
        return []
    query = select(devices).where(
        devices.c.token_digest.in_([token_digest(token) for token in tokens]),
        devices.c.account_id == account_id,
        _known(now),
    )
    rows = connection.execute(query.order_by(devices.c.trusted_until.desc().nulls_last()))
    return [_device(row) for row in rows]


def last_uses(connection: Connection, tokens: Sequence[str], now: datetime) -> dict[str, datetime]:
    """When the known devices of these tokens, of whatever accounts, were last used: by token."""
    tokens_by_digest = {token_digest(token): token for token in tokens}
    query = select(devices.c.token_digest, devices.c.last_used_at).where(
        devices.c.token_digest.in_(tokens_by_digest), _known(now)
    )
    return {tokens_by_digest[row.token_digest]: row.last_used_at for row in connection.execute(query)}


def make_room(connection: Connection, account_id: str, now: datetime, *, at_most: int) -> None:
    """Delete the account's devices beyond so many.

    Those that came once and never again go first, and the trusted ones last; of each, the ones used the longest ago.
    """
    own = devices.c.account_id == account_id, devices.c.revoked_at.is_(None)
    is_trusted = and_(devices.c.trusted_until.is_not(None), devices.c.trusted_until > now)
    came_again = devices.c.last_used_at > devices.c.created_at
    rank = case((is_trusted, 0), (came_again, 1), else_=2)
    kept = select(devices.c.id).where(*own).order_by(rank, devices.c.last_used_at.desc(), devices.c.id).limit(at_most)
    connection.execute(delete(devices).where(*own, devices.c.id.not_in(kept)))


def ids(connection: Connection, account_id: str, now: datetime) -> list[str]:
    """The ids of the devices that the account knows at ``now``."""
    query = select(devices.c.id).where(devices.c.account_id == account_id, _known(now))
    return list(connection.execute(query).scalars())


def touch(connection: Connection, device_id: str, now: datetime) -> bool:
    """Note that it was used; False when it was ended meanwhile."""
    statement = update(devices).where(devices.c.id == device_id, _known(now))
    return connection.execute(statement.values(last_used_at=now)).rowcount == 1


def known(connection: Connection, account_id: str, now: datetime, *, after: str, limit: int) -> list[Device]:
    """The devices that the account knows at ``now``, in the order of their ids."""
    query = (
        select(devices)
        .where(devices.c.account_id == account_id, _known(now), devices.c.id > after)
        .order_by(devices.c.id)
        .limit(limit)
    )
    return [_device(row) for row in connection.execute(query)]


def is_known(connection: Connection, account_id: str, device_id: str, now: datetime) -> bool:
    """Whether the account knows the device at ``now``."""
    query = select(devices.c.id).where(devices.c.id == device_id, devices.c.account_id == account_id, _known(now))
    return connection.execute(query).first() is not None


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


def exists(connection: Connection, account_id: str, device_id: str) -> bool:
    """Whether the account has or had a device of this id."""
    query = select(devices.c.id).where(devices.c.id == device_id, devices.c.account_id == account_id)
    return connection.execute(query).first() is not None


def revoke_all(connection: Connection, account_id: str, created_before: datetime, now: datetime) -> int:
    """Revoke every device of the account made before a moment; how many."""
    statement = update(devices).where(
        devices.c.account_id == account_id, devices.c.revoked_at.is_(None), devices.c.created_at <= created_before
    )
    return connection.execute(statement.values(revoked_at=now)).rowcount


def revoke_won_by(connection: Connection, account_id: str, factor: Factor, now: datetime) -> int:
    """Revoke every device that this factor has won; how many. It includes trusted devices whose factor is not known."""
    unknown = and_(devices.c.won_by.is_(None), devices.c.trusted_until.is_not(None))
    statement = update(devices).where(
        devices.c.account_id == account_id,
        devices.c.revoked_at.is_(None),
        or_(devices.c.won_by == factor, unknown),
    )
    return connection.execute(statement.values(revoked_at=now)).rowcount


def _device(row: Row[Any]) -> Device:
    won_by = Factor(row.won_by) if row.won_by else None
    return Device(row.id, row.account_id, row.label, row.created_at, row.last_used_at, row.trusted_until, won_by)
