"""Signing in: password, then the second factor, then a session."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from redis.exceptions import RedisError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from services.auth import (
    challenge_store,
    guessing_brake,
    limits,
    login_records,
    password_form,
    password_renewal,
    reset_steps,
    session_store,
    sessions,
    spent_failures,
    trusted_devices,
)
from services.auth.challenge_store import LoginChallenge
from services.auth.deps import Client, Deps, by_network, charged_by_network, subject
from services.auth.domain.account import Account, StoredPassword
from services.auth.domain.guessing import is_six_digits
from services.auth.domain.session import Factor, Session, SessionTimes, StepUp, opened_by
from services.auth.otp_client import CodeRefused, TwoFactorState
from services.auth.store import accounts, devices
from services.auth.store.devices import Device
from shared import budgets
from shared.budgets import Charge
from shared.database import reading, writing
from shared.email_address import email_key
from shared.hashing import decoy_hash
from shared.ids import new_id, new_token, token_digest
from shared.phone import PhoneNumber
from shared.problems import Refusal, Unavailable

NOBODY = "acc_nobody"  # an id that no account has


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session was opened. ``device_token`` is there when the client is known from here on, or remembered."""

    account: Account
    session: Session
    token: str
    device_token: str | None = None
    device_trusted: bool = False


@dataclass(frozen=True, slots=True)
class SecondFactorRequired:
    """The password was right; the challenge waits for a code from the client that holds ``binding``.

    ``one_try``: so much is guessed just now that this client has one try of six digits today.
    """

    challenge: LoginChallenge
    binding: str
    phone: PhoneNumber | None
    one_try: bool


def log_in(
    deps: Deps,
    client: Client,
    *,
    email: str,
    password: str,
    transport: str,
    device_tokens: Sequence[str] = (),
    replaces: str | None = None,
) -> SignedIn | SecondFactorRequired:
    """Check the password, then open a session or a challenge. A new session ends the one whose token is ``replaces``.

    ``device_tokens``: what the client holds, of whatever accounts. A client that a password alone has signed in is
    known from here on, as one that has shown a second factor is.

    An unknown address takes the same time as a wrong password and gets the same answer (ASVS 6.3.8). A right password
    stays charged to its network until the login is completed, so a network cannot try leaked passwords for free.
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
            device = devices.by_tokens(connection, account_id, device_tokens, now)
        network, own = _password_charges(deps, client, email, device)
        taken = budgets.take(deps.redis, *network, own).require()
        with budgets.given_back_on_outage(deps.redis, *network, own):
            matches = password_form.verify(place, found[1] if found else None, password, decoy)
    if found is None or not matches:
        login_records.refused_password(deps, client, found[0] if found else None, email, now)
        refused = Refusal("invalid_credentials")
        if device is not None:  # strangers share the other rows, and must not read there what the owner has tried
            taken.tell_last_tries(refused, own.rate)
        raise refused
    budgets.refund(deps.redis, own)
    with budgets.given_back_on_outage(deps.redis, *network):
        return _after_password(deps, client, found, password, transport, device_tokens, replaces, network, now)


def _after_password(
    deps: Deps,
    client: Client,
    found: tuple[Account, StoredPassword],
    password: str,
    transport: str,
    device_tokens: Sequence[str],
    replaces: str | None,
    charged: tuple[Charge, ...],
    now: datetime,
) -> SignedIn | SecondFactorRequired:
    """Open a session or a challenge for a right password.

    ``found``: the account, and the stored password that matched. ``charged``: the rows of its network that the password
    was counted under. Raises Refusal invalid_credentials, challenge_expired when a change has overtaken the login;
    too_many_requests; Unavailable.
    """
    account, verified = found
    # The epoch first: whoever changes the password or 2FA after this line raises it, and this login is void. Whoever
    # did so before it is seen by the two reads that follow.
    epoch = session_store.epoch(deps.redis, account.id)
    with reading(deps.database) as connection:
        current = accounts.password(connection, account.id)
        device = devices.by_tokens(connection, account.id, device_tokens, now)
    # Another hash may be of the same password, when another sign-in has just renewed it.
    is_unchanged = current is not None and current.encoded == verified.encoded
    if not is_unchanged and not password_form.verify(deps.hashing, current, password, decoy_hash(deps.hashing)):
        raise Refusal("invalid_credentials")
    password_renewal.renew(deps, account.id, verified, password)
    state = deps.otp.state(account.id)
    if state.enabled and device is not None and device.won_by is Factor.PASSWORD:
        device = None  # with 2FA on, a client is known by a second factor
    if device is None and not charged:  # it has paid as a known one, and gets back what a stranger pays
        charged = by_network(deps, limits.LOGIN_IP, client.ip)
        budgets.take(deps.redis, *charged).require()
    if state.enabled and not (device is not None and device.is_trusted(now)):
        binding = new_token()
        challenge = _challenge(account, state, epoch, transport, device, client, now, binding)
        login_records.accepted_password(deps, client, account, challenge.id, now)
        one_try = False
        if device is None:
            trusted_devices.make_room(deps, account.id, now)
            noted = guessing_brake.note_right_password(deps, account.id, now)
            challenge, one_try = replace(challenge, is_counted=noted.is_counted), noted.brakes
        challenge_store.put(deps.redis, challenge, now)
        return SecondFactorRequired(challenge, binding, account.phone, one_try)
    factors = (Factor.PASSWORD, Factor.TRUSTED_DEVICE) if state.enabled else (Factor.PASSWORD,)
    trust_factor = device.won_by if device is not None and state.enabled else None
    device_token = None
    session, token = _new_session(
        deps.settings.session_times,
        account,
        factors,
        transport,
        client,
        now,
        device_id=device.id if device else new_id("dev"),
        trust_factor=trust_factor,
    )
    sessions.end_replaced(deps, client, replaces)
    with _opening(deps, client, session, token, epoch, gives_back=charged) as connection:
        accounts.hold(connection, account.id)  # devices, with their sessions, may be ending at this moment
        if device is None:
            device_token = trusted_devices.remember(
                deps, connection, account, session, client, now, known=False, trusted=False
            )
        elif not devices.touch(connection, device.id, now):
            raise Refusal("challenge_expired")
        login_records.sign_in(connection, session, client)
    return SignedIn(account, session, token, device_token)


@dataclass(frozen=True, slots=True)
class Answer:
    """What answers a challenge. ``binding`` shows that it comes from the client that began the login."""

    challenge_id: str
    binding: str | None
    code: str
    remember_device: bool = False
    replaces: str | None = None  # the token of the session whose cookie the browser still has


def verify(deps: Deps, client: Client, answer: Answer) -> SignedIn:
    """Answer a challenge with a code from the app, an SMS or the backup sheet.

    Raises Refusal challenge_expired, invalid_passcode, too_many_requests, second_factor_locked; Unavailable.
    """
    now = deps.clock()
    challenge, charged = _counted_challenge(deps, by_network(deps, limits.VERIFY_IP, client.ip), answer)
    try:
        with budgets.given_back_on_outage(deps.redis, *charged.network, *charged.one_try):
            return _complete(deps, client, challenge, charged.one_try, answer, now)
    except CodeRefused as refused:
        if refused.code == "invalid_passcode":  # else it was not compared
            is_guess = _is_guess(challenge, answer.code)
            login_records.wrong_code(deps, challenge, client, now, is_guess=is_guess)
            if charged.one_try:
                refused.extra["tries_left"] = 0
        spent_failures.end(deps, client, refused, challenge.account_id, device_id=challenge.device_id)
        raise


def _complete(
    deps: Deps,
    client: Client,
    challenge: LoginChallenge,
    one_try: tuple[Charge, ...],
    answer: Answer,
    now: datetime,
) -> SignedIn:
    # Before otp is asked: a database that is away must be found out while the code is still good.
    with reading(deps.database) as connection:
        account = accounts.by_id(connection, challenge.account_id)
    if account is None:
        raise Refusal("challenge_expired")
    with _given_back_unless_compared(deps, one_try):
        verified = deps.otp.verify(challenge.account_id, answer.code, "login", challenge.id, challenge.device_id)
    factor, known = Factor(verified.factor), challenge.device_id is not None
    remembers = answer.remember_device or not known
    device_id = challenge.device_id or new_id("dev")
    times, factors = deps.settings.session_times, (Factor.PASSWORD, factor)
    session, token = _new_session(times, account, factors, challenge.transport, client, now, device_id=device_id)
    sessions.end_replaced(deps, client, answer.replaces)
    device_token = None
    charged = () if known else (*_password_still_charged(deps, challenge), *one_try)
    with _opening(deps, client, session, token, challenge.epoch, challenge=challenge, gives_back=charged) as connection:
        # This transaction waits for a change that ends devices and for the request of a reset, and they wait for it.
        accounts.hold(connection, account.id)
        if remembers:
            trusted = answer.remember_device
            device_token = trusted_devices.remember(
                deps, connection, account, session, client, now, known=known, trusted=trusted
            )
        elif not devices.touch(connection, device_id, now):
            raise Refusal("challenge_expired")
        login_records.sign_in(connection, session, client, challenge.id)
        reset_steps.owner_proved(connection, deps, account, factor, now)
    return SignedIn(account, session, token, device_token, answer.remember_device)


@contextlib.contextmanager
def _given_back_unless_compared(deps: Deps, one_try: tuple[Charge, ...]) -> Iterator[None]:
    """Give the one try of the day back when otp refuses the code without a comparison, since nobody learned anything.

    Else a budget of five minutes would cost a new browser its day. After an outage, budgets.given_back_on_outage gives
    the try back. To give it back here too would hand out a try that another browser has taken meanwhile.
    """
    try:
        yield
    except Unavailable:
        raise
    except Refusal as refusal:
        if one_try and refusal.code != "invalid_passcode":
            with contextlib.suppress(RedisError):
                budgets.refund(deps.redis, *one_try)
        raise


@contextlib.contextmanager
def _opening(
    deps: Deps,
    client: Client,
    session: Session,
    token: str,
    epoch: int,
    *,
    challenge: LoginChallenge | None = None,
    gives_back: tuple[Charge, ...] = (),
) -> Iterator[Connection]:
    """Write in the block the rows that tell of this session; then it is opened, and then they are committed.

    What fails in SQL so fails before the challenge is used up, and the same challenge and code may be sent again (otp
    says yes again for a minute). A commit that fails, or an opening whose reply is lost, is undone as far as Redis
    answers. Left open: a gateway killed between the opening and its answer has used the challenge up, and left a
    session whose token nobody has; a commit that came to pass and whose reply was lost tells of a session that never
    was. The step that opens the session gives ``gives_back`` back. Raises Refusal challenge_expired when the challenge
    was used or everything was ended meanwhile.
    """
    try:
        with writing(deps.database) as connection:
            yield connection
            challenge_id = None if challenge is None else challenge.id
            method = Factor.SMS if session.rests_on(Factor.SMS) and challenge is not None else None
            opened = session_store.open_session(
                deps.redis,
                session,
                token,
                epoch=epoch,
                challenge_id=challenge_id,
                method=method,
                gives_back=gives_back,
            )
            if opened is None:
                raise Refusal("challenge_expired")
            sessions.record_displaced(connection, deps, client, session, opened.ended)
    except (DBAPIError, RedisError):
        with contextlib.suppress(RedisError):
            session_store.take_back(deps.redis, session, token, challenge=challenge, now=deps.clock())
        raise


@dataclass(frozen=True, slots=True)
class _Charged:
    """What a try of a code was counted under: its network, and the one try of the day while the brake is on."""

    network: tuple[Charge, ...]
    one_try: tuple[Charge, ...]


def _counted_challenge(deps: Deps, charges: tuple[Charge, ...], answer: Answer) -> tuple[LoginChallenge, _Charged]:
    """Count the try and read challenge and brake, in one round trip; what the try was counted under.

    A link in a mail exempts the challenge from the brake's one try, and from no other row.
    """
    challenge_id = answer.challenge_id
    read = [challenge_store.key(challenge_id), guessing_brake.KEY, challenge_store.confirmed_key(challenge_id)]
    taken = budgets.take(deps.redis, *charges, read=read)
    challenge = challenge_store.load(taken.read[0])
    known = challenge is not None and challenge.device_id is not None
    charged = charged_by_network(taken, charges, device_known=known)
    if challenge is None or challenge.expires_at <= deps.clock() or not challenge.belongs_to(answer.binding):
        raise Refusal("challenge_expired")
    is_on, is_confirmed = (found is not None for found in taken.read[1:])
    braked = is_on and not is_confirmed and _is_guess(challenge, answer.code)
    one_try = (guessing_brake.take_the_try(deps, challenge.account_id),) if braked else ()
    return challenge, _Charged(charged, one_try)


def _is_guess(challenge: LoginChallenge, code: str) -> bool:
    """Whether the brake counts this code: six digits, from a client that the account does not know."""
    return challenge.device_id is None and is_six_digits(code)


def _password_still_charged(deps: Deps, challenge: LoginChallenge) -> tuple[Charge, ...]:
    """What the right password of this login was counted under, which a completed login gives back."""
    began_at = challenge.expires_at - limits.CHALLENGE_LIFE
    network = by_network(deps, limits.LOGIN_IP, challenge.ip)
    counted = guessing_brake.charges_of_password(challenge.account_id, began_at) if challenge.is_counted else ()
    return *network, *counted


def _password_charges(
    deps: Deps, client: Client, email: str, device: Device | None
) -> tuple[tuple[Charge, ...], Charge]:
    """By network, and by account. A client that has signed in before has a row of its own, and nothing else.

    So strangers can't lock the owner out, whether they try the owner's address or sit in the same network. A right
    password gives the row of the account or device back, and a completed login those of the network.
    """
    if device is not None:
        return (), Charge(limits.LOGIN_KNOWN_DEVICE, device.id)
    return by_network(deps, limits.LOGIN_IP, client.ip), address_charge(deps, email)


def address_charge(deps: Deps, email: str) -> Charge:
    """What a password from a browser that we don't know is charged to, besides its network."""
    return Charge(limits.LOGIN_EMAIL, subject(deps, "email", email_key(email)))


def _challenge(
    account: Account,
    state: TwoFactorState,
    epoch: int,
    transport: str,
    device: Device | None,
    client: Client,
    now: datetime,
    binding: str,
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
        user_agent=client.browser,
        binding_digest=token_digest(binding),
    )


def _new_session(
    times: SessionTimes,
    account: Account,
    factors: tuple[Factor, ...],
    transport: str,
    client: Client,
    now: datetime,
    *,
    device_id: str,
    trust_factor: Factor | None = None,
) -> tuple[Session, str]:
    """A session and its token, always new (ASVS 7.2.4)."""
    session = Session(
        id=new_id("ses"),
        account_id=account.id,
        factors=factors,
        transport=transport,
        authenticated_at=now,
        stepped_up_at=now if opened_by(factors) is StepUp.FULL else None,
        expires_at=now + min(times.idle, times.life),
        ends_at=now + times.life,
        ip=client.ip,
        user_agent=client.browser,
        signed_in_with=factors,
        device_id=device_id,
        trust_factor=trust_factor,
    )
    return session, new_token()
