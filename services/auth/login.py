"""Signing in: password, then the second factor, then a session."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from redis.exceptions import RedisError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from services.auth import limits, notices, session_store
from services.auth.deps import Client, Deps, by_ip, charged_by_ip, subject
from services.auth.domain.account import Account, email_key
from services.auth.domain.notice_texts import Kind
from services.auth.domain.session import Factor, Session
from services.auth.otp_client import TwoFactorState
from services.auth.session_store import LoginChallenge
from services.auth.store import accounts, devices, timeline
from services.auth.store.devices import Device
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge
from shared.database import reading, writing
from shared.hashing import decoy_hash
from shared.ids import new_id, new_token
from shared.phone import PhoneNumber
from shared.problems import Refusal

NOBODY = "acc_nobody"  # an id that no account has


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session was opened. ``device_token`` is there when this browser is to be remembered."""

    account: Account
    session: Session
    token: str
    device_token: str | None = None
    device_trusted: bool = False


@dataclass(frozen=True, slots=True)
class SecondFactorRequired:
    """The password was right; the challenge waits for a code."""

    challenge: LoginChallenge
    phone: PhoneNumber | None


def log_in(
    deps: Deps, client: Client, *, email: str, password: str, transport: str, device_token: str | None
) -> SignedIn | SecondFactorRequired:
    """Check the password, then see what else is needed.

    An unknown address costs the same time as a wrong password and hears the same words (ASVS 6.3.8).
    Raises Refusal invalid_credentials, too_many_requests; Unavailable.
    """
    now = deps.clock()
    decoy = decoy_hash(deps.hashing)
    # The place first: whoever is told to come back in a second must not have paid for the try.
    with deps.hashing.place() as place:
        with reading(deps.database) as connection:
            found = accounts.credentials(connection, email)
            # Looked for at an unknown address, too: the time of a read would tell which addresses are known.
            account_id = found[0].id if found else NOBODY
            device = devices.by_token(connection, account_id, device_token) if device_token else None
        charges = _password_charges(deps, client, email, device)
        budgets.take(deps.redis, *charges).require()
        with budgets.given_back_on_outage(deps.redis, *charges):
            matches = place.verify(found[1] if found else decoy, password)
    if found is None or not matches:
        _record_refused_password(deps, client, found[0] if found else None, email, now)
        raise Refusal("invalid_credentials")
    account = found[0]
    budgets.refund(deps.redis, *charges)
    # The epoch first: whoever changes the password or 2FA after this line raises it, and this login is void. Whoever
    # did so before it is seen by the two reads that follow.
    epoch = session_store.epoch(deps.redis, account.id)
    with reading(deps.database) as connection:
        if accounts.password_hash(connection, account.id) != found[1]:
            raise Refusal("invalid_credentials")
        device = devices.by_token(connection, account.id, device_token) if device_token else None
    state = deps.otp.state(account.id)
    if state.enabled and not (device is not None and device.is_trusted(now)):
        challenge = _challenge(account, state, epoch, transport, device, client, now)
        session_store.put_challenge(deps.redis, challenge, now)
        return SecondFactorRequired(challenge, account.phone)
    factors = (Factor.PASSWORD, Factor.TRUSTED_DEVICE) if state.enabled else (Factor.PASSWORD,)
    session, token = _new_session(account, factors, transport, client, now)
    with _opening(deps, session, token, epoch) as connection:
        if device is not None:
            devices.touch(connection, device.id, now)
        _record_sign_in(connection, session, client)
    return SignedIn(account, session, token)


def verify(deps: Deps, client: Client, *, challenge_id: str, code: str, remember_device: bool) -> SignedIn:
    """Answer a challenge with a code from the app, an SMS or the backup sheet.

    Raises Refusal challenge_expired, invalid_passcode, too_many_requests, second_factor_locked; Unavailable.
    """
    now = deps.clock()
    challenge, charged = _counted_challenge(deps, by_ip(deps, limits.VERIFY_IP, client), challenge_id)
    try:
        with budgets.given_back_on_outage(deps.redis, *charged):
            return _complete(deps, client, challenge, code, now, remember_device=remember_device)
    except Refusal as refusal:
        _tell_of_failures(deps, challenge, refusal, client, now)
        raise


def _complete(
    deps: Deps, client: Client, challenge: LoginChallenge, code: str, now: datetime, *, remember_device: bool
) -> SignedIn:
    # Before otp is asked: a database that is away must be found out while the code is still good.
    with reading(deps.database) as connection:
        account = accounts.by_id(connection, challenge.account_id)
    if account is None:
        raise Refusal("challenge_expired")
    verified = deps.otp.verify(challenge.account_id, code, "login", challenge.id, challenge.device_id)
    session, token = _new_session(account, (Factor.PASSWORD, Factor(verified.factor)), challenge.transport, client, now)
    device_token = None
    with _opening(deps, session, token, challenge.epoch, challenge) as connection:
        _record_sign_in(connection, session, client)
        if remember_device or (challenge.transport == "cookie" and challenge.device_id is None):
            device_token = _remember(deps, connection, account, challenge, client, now, trusted=remember_device)
    if device_token is not None and session_store.epoch(deps.redis, account.id) != challenge.epoch:
        # Whoever raised it revoked the account's devices, perhaps just before this one was there to be seen.
        with writing(deps.database) as connection:
            devices.revoke_all(connection, account.id, now, now)
        raise Refusal("challenge_expired")
    return SignedIn(account, session, token, device_token, remember_device)


@contextlib.contextmanager
def _opening(
    deps: Deps, session: Session, token: str, epoch: int, challenge: LoginChallenge | None = None
) -> Iterator[Connection]:
    """Write in the block the rows that tell of this session; then it is opened, and then they are committed.

    What fails in SQL so fails before the challenge is used up, and the same challenge and code may be sent again (otp
    says yes again for a minute). A commit that fails, or an opening whose reply is lost, is undone as far as Redis
    answers. Left open: a gateway killed between the opening and its answer has used the challenge up, and left a
    session whose token nobody has; a commit that came to pass and whose reply was lost tells of a session that never
    was. Raises Refusal challenge_expired when the challenge was used or everything was ended meanwhile.
    """
    try:
        with writing(deps.database) as connection:
            yield connection
            challenge_id = None if challenge is None else challenge.id
            if not session_store.open_session(deps.redis, session, token, epoch=epoch, challenge_id=challenge_id):
                raise Refusal("challenge_expired")
    except (DBAPIError, RedisError):
        with contextlib.suppress(RedisError):
            session_store.take_back(deps.redis, session, token, challenge=challenge, now=deps.clock())
        raise


def _counted_challenge(deps: Deps, charge: Charge, challenge_id: str) -> tuple[LoginChallenge, tuple[Charge, ...]]:
    """Count the try and read the challenge, in one round trip; what the try was counted under."""
    key = session_store.challenge_key(challenge_id)
    taken = budgets.take(deps.redis, charge, read=[key])
    challenge = session_store.load_challenge(taken.read[0])
    charged = charged_by_ip(taken, charge, device_known=challenge is not None and challenge.device_id is not None)
    if challenge is None or challenge.expires_at <= deps.clock():
        raise Refusal("challenge_expired")
    return challenge, charged


def _password_charges(deps: Deps, client: Client, email: str, device: Device | None) -> tuple[Charge, ...]:
    """By IP, and by account. A browser that has signed in before has a row of its own, and nothing else.

    So strangers can't lock the owner out, whether they try the owner's address or sit in the same network.
    """
    if device is not None:
        return (Charge(limits.LOGIN_KNOWN_DEVICE, device.id),)
    ip = by_ip(deps, limits.LOGIN_IP, client)
    return ip, address_charge(deps, email)


def address_charge(deps: Deps, email: str) -> Charge:
    """What a password from a browser that we don't know is charged to, besides its IP."""
    return Charge(limits.LOGIN_EMAIL, subject(deps, "email", email_key(email)))


def _challenge(
    account: Account,
    state: TwoFactorState,
    epoch: int,
    transport: str,
    device: Device | None,
    client: Client,
    now: datetime,
) -> LoginChallenge:
    offered = {"totp": True, "sms": account.phone is not None, "recovery_code": state.recovery_codes_remaining > 0}
    return LoginChallenge(
        id=new_id("chl"),
        account_id=account.id,
        epoch=epoch,
        transport=transport,
        methods=tuple(method for method, available in offered.items() if available),
        expires_at=now + limits.CHALLENGE_LIFE,
        device_id=device.id if device else None,
        ip=client.ip,
        user_agent=client.user_agent,
    )


def _new_session(
    account: Account, factors: tuple[Factor, ...], transport: str, client: Client, now: datetime
) -> tuple[Session, str]:
    """A session and its token, always new (ASVS 7.2.4). One that a trusted device shortened can't act as stepped up."""
    session = Session(
        id=new_id("ses"),
        account_id=account.id,
        factors=factors,
        transport=transport,
        authenticated_at=now,
        stepped_up_at=None if Factor.TRUSTED_DEVICE in factors else now,
        expires_at=now + limits.SESSION_LIFE,
        ip=client.ip,
        user_agent=client.user_agent,
    )
    return session, new_token()


def _record_refused_password(deps: Deps, client: Client, account: Account | None, email: str, now: datetime) -> None:
    """For an unknown address, too (ASVS 16.3.1): it takes the same time, and meets the same outages (ASVS 6.3.8).

    What was typed there may be anything, a password too, so only its keyed digest is kept: how many addresses were
    tried can be counted by it.
    """
    address = subject(deps, "email", email_key(email))
    account_id, details = (None, {"address": address}) if account is None else (account.id, {})
    with writing(deps.database) as connection:
        timeline.write(connection, account_id, Entry.PASSWORD_REFUSED, now, ip=client.ip, **details)


def _record_sign_in(connection: Connection, session: Session, client: Client) -> None:
    timeline.write(
        connection,
        session.account_id,
        Entry.SIGNED_IN,
        session.authenticated_at,
        ip=client.ip,
        session_id=session.id,
        factors=list(session.factors),
        browser=client.user_agent,
    )


def _remember(
    deps: Deps,
    connection: Connection,
    account: Account,
    challenge: LoginChallenge,
    client: Client,
    now: datetime,
    *,
    trusted: bool,
) -> str:
    """Give this browser a device of its own; trusted ones skip the code for 30 days, fixed, and the owner is told."""
    token = new_token()
    until = now + limits.TRUSTED_DEVICE_LIFE if trusted else None
    label = client.user_agent or "unknown browser"
    if challenge.device_id is not None:  # its old token is replaced, not kept beside the new one
        devices.revoke(connection, account.id, challenge.device_id, now)
    device_id = devices.add(connection, account_id=account.id, token=token, label=label, trusted_until=until, now=now)
    if trusted:
        timeline.write(
            connection, account.id, Entry.DEVICE_TRUSTED, now, ip=client.ip, device_id=device_id, browser=label
        )
        notices.tell(connection, deps, account, Kind.TRUSTED_DEVICE_ADDED, now, browser=label, ip=client.ip)
    return token


def _tell_of_failures(deps: Deps, challenge: LoginChallenge, refusal: Refusal, client: Client, now: datetime) -> None:
    """A right password that meets wrong codes is news for the owner, however slowly they come."""
    if getattr(refusal, "recent_failures", None) not in limits.FAILURES_WORTH_A_NOTICE:
        return
    with writing(deps.database) as connection:
        account = accounts.by_id(connection, challenge.account_id)
        if account is not None:
            timeline.write(
                connection, account.id, Entry.SECOND_FACTOR_FAILED, now, ip=client.ip, browser=client.user_agent
            )
            notices.tell(
                connection, deps, account, Kind.SECOND_FACTOR_FAILED, now, ip=client.ip, browser=client.user_agent
            )
