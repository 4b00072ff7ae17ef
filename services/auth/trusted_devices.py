"""Browsers that skip the code: list and revoke."""

from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.store import devices, timeline
from services.auth.store.devices import Device
from services.auth.store.timeline import Entry
from shared.database import reading, writing
from shared.problems import Refusal


def listed(deps: Deps, account: Account, *, after: str, limit: int) -> list[Device]:
    """The account's trusted devices in the order of their ids."""
    with reading(deps.database) as connection:
        return devices.trusted(connection, account.id, deps.clock(), after=after, limit=limit)


def revoke(deps: Deps, client: Client, account: Account, device_id: str) -> None:
    """Revoke one. Raises Refusal not_found, also for another account's device."""
    now = deps.clock()
    with writing(deps.database) as connection:
        if not devices.revoke(connection, account.id, device_id, now):
            raise Refusal("not_found")
        timeline.write(connection, account.id, Entry.DEVICES_REVOKED, now, ip=client.ip, device_id=device_id)


def revoke_all(deps: Deps, client: Client, account: Account) -> None:
    """Revoke all of them."""
    now = deps.clock()
    with writing(deps.database) as connection:
        revoked = devices.revoke_all(connection, account.id, now, now)
        timeline.write(connection, account.id, Entry.DEVICES_REVOKED, now, ip=client.ip, devices=revoked)
