"""Browsers that the account knows: noted at a login, listed, ended. A device's sessions end with it.

A device ends by its owner, at a logout that forgets it, and after ten wrong codes in a row. One that is not used is no
longer known after KNOWN_DEVICE_LIFE (store.devices).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.auth import consequences, limits, notices, session_store
from services.auth.consequences import Acting, Concerned
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.domain.consequences import Change
from services.auth.domain.notice_texts import Kind
from services.auth.domain.session import Factor, Session
from services.auth.store import devices, timeline
from services.auth.store.devices import Device
from services.auth.store.timeline import Entry
from shared.database import reading, writing
from shared.ids import new_token
from shared.problems import Refusal, Unavailable


def listed(deps: Deps, account: Account, *, after: str, limit: int) -> list[Device]:
    """The account's known devices, trusted ones among them, in the order of their ids."""
    with reading(deps.database) as connection:
        return devices.known(connection, account.id, deps.clock(), after=after, limit=limit)


def remember(
    deps: Deps,
    connection: Connection,
    account: Account,
    session: Session,
    client: Client,
    now: datetime,
    *,
    known: bool,
    trusted: bool,
) -> str:
    """Make this session's client a known device, or renew the token of one that is known; the token.

    A trusted one skips the code for 30 days, fixed, and the owner is told. Raises Refusal challenge_expired when the
    device has been ended meanwhile.
    """
    token = new_token()
    until = now + limits.TRUSTED_DEVICE_LIFE if trusted else None
    label = client.browser
    device = Device(str(session.device_id), account.id, label, now, now, until, session.factors[-1])
    if not known:
        if device.won_by is Factor.PASSWORD:  # with 2FA on, the password makes room
            devices.make_room(connection, account.id, now, at_most=limits.DEVICES_AT_MOST - 1)
        devices.add(connection, device, token)
    elif not devices.renew(connection, device, token):
        raise Refusal("challenge_expired")
    if trusted:
        timeline.write(
            connection, account.id, Entry.DEVICE_TRUSTED, now, ip=client.ip, device_id=device.id, browser=label
        )
        notices.tell(connection, deps, account, Kind.TRUSTED_DEVICE_ADDED, now, browser=label, ip=client.ip)
    return token


def longest_unused(deps: Deps, held: Mapping[str, str], count: int) -> list[str]:
    """The names of so many cookies that a browser loses: of no known device first, then of those used the longest ago.

    ``held``: tokens by the name of their cookie. The browser sends the cookie first that it has had for longest (RFC
    6265 §5.4), also one that it uses daily. So this order decides only where the database does not answer: the login is
    complete by then, and must not fail.
    """
    if count <= 0:
        return []
    used: Mapping[str, datetime] = {}
    with suppress(DBAPIError, PoolTimeoutError), reading(deps.database) as connection:
        used = devices.last_uses(connection, list(held.values()), deps.clock())
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(held, key=lambda name: used.get(held[name], never))[:count]


def make_room(deps: Deps, account_id: str, now: datetime) -> None:
    """Leave room for a client that has shown the password, and may show its code.

    At the password, whose hash costs so much more, and not at the code. A password alone pushes nothing out that the
    account may know.
    """
    at_most = limits.DEVICES_AT_MOST
    with reading(deps.database) as connection:
        is_full = len(devices.ids(connection, account_id, now)) > at_most
    if is_full:
        with writing(deps.database) as connection:
            devices.make_room(connection, account_id, now, at_most=at_most)


def revoke(deps: Deps, client: Client, acting: Acting, device_id: str) -> bool:
    """End a device, and the sessions it has opened; whether the session that orders it is one of those.

    A repeat of the call finds the device ended, and records nothing. Raises Refusal not_found, also for another
    account's device; not_authenticated; Unavailable when all has ended and otp does not answer: what otp has under way
    for the sessions may still be committed.
    """
    account_id, concerned = acting.session.account_id, Concerned(device_ids=(device_id,))
    with consequences.changing(
        deps, Change.DEVICE_ENDED, account_id, acting=acting, otp=deps.otp, concerned=concerned
    ) as changing:
        connection, now = changing.connection, changing.now
        if devices.revoke(connection, account_id, device_id, now):
            timeline.write(connection, account_id, Entry.DEVICES_REVOKED, now, ip=client.ip, device_id=device_id)
        elif not devices.exists(connection, account_id, device_id):
            raise Refusal("not_found")
    return changing.acting_ended


def forget(deps: Deps, client: Client, acting: Acting, device_tokens: Sequence[str]) -> None:
    """End the device of the session that logs out, and those of its account whose tokens its browser has.

    Raises Refusal not_authenticated; Unavailable as ``revoke`` does.
    """
    session, now = acting.session, deps.clock()
    with reading(deps.database) as connection:
        held = devices.all_by_tokens(connection, session.account_id, device_tokens, now)
    ids = {one.id for one in held} | ({session.device_id} if session.device_id is not None else set())
    _end(deps, client, session.account_id, sorted(ids), acting, cause="forgotten")


def end_spent(deps: Deps, client: Client, account_id: str, device_id: str) -> None:
    """End a device whose row of failures is spent: it is no longer known. A repeat records nothing.

    If otp does not answer, an event tells it later.
    """
    with suppress(Unavailable):
        _end(deps, client, account_id, [device_id], None, cause="wrong_codes")


def _end(
    deps: Deps, client: Client, account_id: str, device_ids: Sequence[str], acting: Acting | None, *, cause: str
) -> None:
    if not device_ids:
        return
    concerned = Concerned(device_ids=device_ids)
    with consequences.changing(
        deps, Change.DEVICE_ENDED, account_id, acting=acting, otp=deps.otp, concerned=concerned
    ) as changing:
        connection, now = changing.connection, changing.now
        for device_id in device_ids:
            if devices.revoke(connection, account_id, device_id, now):
                facts = {"device_id": device_id, "cause": cause}
                timeline.write(connection, account_id, Entry.DEVICES_REVOKED, now, ip=client.ip, **facts)


def revoke_all(deps: Deps, client: Client, acting: Acting) -> bool:
    """End all of them, and the sessions they have opened; whether the session that orders it is one of those.

    Raises Refusal not_authenticated; Unavailable as ``revoke`` does.
    """
    account_id, concerned = acting.session.account_id, Concerned(every_device=True)
    with consequences.changing(
        deps, Change.DEVICE_ENDED, account_id, acting=acting, otp=deps.otp, concerned=concerned
    ) as changing:
        revoked = devices.revoke_all(changing.connection, account_id, changing.now, changing.now)
        timeline.write(
            changing.connection, account_id, Entry.DEVICES_REVOKED, changing.now, ip=client.ip, devices=revoked
        )
    return changing.acting_ended


def revoke_others(deps: Deps, client: Client, acting: Acting) -> bool:
    """End all devices but the one of the session that orders it, and the sessions that they have opened.

    Returns whether the session that orders it has ended. That is so only for a session of an earlier release, which
    does not name its device. A call that ends none records nothing. Raises as ``revoke_all`` does.
    """
    account_id, own = acting.session.account_id, acting.session.device_id
    with consequences.changing(deps, Change.DEVICE_ENDED, account_id, acting=acting, otp=deps.otp) as changing:
        connection, now = changing.connection, changing.now
        # A device whose row had to make room may still have a session.
        in_use = {session.device_id for session in session_store.sessions_of(deps.redis, account_id)} - {None}
        known = devices.ids(connection, account_id, now)
        others = sorted(str(device_id) for device_id in {*known, *in_use} if device_id != own)
        changing.concerned = Concerned(device_ids=others)
        for device_id in others:
            devices.revoke(connection, account_id, device_id, now)
        if others:
            facts: dict[str, Any] = {"ip": client.ip, "devices": len(others), "cause": "all_others"}
            timeline.write(connection, account_id, Entry.DEVICES_REVOKED, now, **facts)
    return changing.acting_ended
