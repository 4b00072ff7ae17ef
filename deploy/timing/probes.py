"""What is compared: pairs of refusals that say the same and must take the same time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import urllib3
from redis import Redis

from deploy.bench.pool import PASSWORD, Pooled, fill
from deploy.local.keys import read_keys
from deploy.local.stack import Stack
from deploy.portal import Answer, Portal
from services.auth import challenge_store, session_store
from services.auth.challenge_store import LoginChallenge
from services.auth.limits import CHALLENGE_LIFE
from services.auth.store import accounts
from services.otp import recovery_code_store, sms_store
from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import Purpose
from services.otp.domain.recovery_code import new_sheet
from services.otp.sms_store import LivePasscode, Slot
from shared.clock import system_clock
from shared.database import create_database, reading, writing
from shared.hashing import HashingPool
from shared.ids import new_id, new_token, token_digest
from shared.keys import KeyList
from shared.redis_client import connect
from shared.sealed_text import SealedText
from shared.secret import Secret

# A budget by account and one by device refuse what comes after so many; one more would be timed as something else.
PASSWORDS_AN_ACCOUNT, CODES_AN_ACCOUNT = 9, 4
_BINDING = new_token()  # of every challenge
RIGHT, WRONG = "314159", "271828"  # a code that has expired, and one that never was

Try = Callable[[], Answer]

_POOL = urllib3.PoolManager(maxsize=1, retries=False, timeout=urllib3.Timeout(10.0))


@dataclass(frozen=True, slots=True)
class Probe:
    """Two kinds of tries, each refused with ``status``; the n-th of one is made next to the n-th of the other."""

    name: str
    kinds: tuple[str, str]
    status: int
    tries: tuple[list[Try], list[Try]]


def probes(stack: Stack, count: int) -> list[Probe]:
    """Every comparison, with about ``count`` tries of each kind, over accounts made for it."""
    with_password, with_code = -(-count // PASSWORDS_AN_ACCOUNT), -(-count // CODES_AN_ACCOUNT)
    pool = fill(stack, 2 * with_password + 4 * with_code)
    taken = iter(pool)

    def some(number: int) -> list[Pooled]:
        return [next(taken) for _ in range(number)]

    redis = connect(Secret(stack.settings.redis_url))
    return [
        _unknown_address(stack, some(with_password), None),
        _unknown_address(stack, some(with_password), new_token()),
        _expired_code(stack, redis, some(with_code), some(with_code)),
        _missing_sheet(stack, redis, some(with_code), some(with_code)),
    ]


def _unknown_address(stack: Stack, known: list[Pooled], device_token: str | None) -> Probe:
    def attempt(email: str, ip: str) -> Try:
        body = {"email": email, "password": f"not {PASSWORD}", "transport": "bearer", "device_token": device_token}
        return lambda: Portal(stack.base_url, ip=ip, pool=_POOL).post("/v1/login", body)

    unknown = [replace(account, email=f"no.{account.email}", ip=f"11{account.ip[2:]}") for account in known]
    wrong, missing = (
        [attempt(one.email, one.ip) for _ in range(PASSWORDS_AN_ACCOUNT) for one in kind] for kind in (known, unknown)
    )
    more = ", with a device token" if device_token else ""
    return Probe(f"login{more}", ("wrong password", "unknown address"), 401, (wrong, missing))


def _expired_code(stack: Stack, redis: Redis, first: list[Pooled], second: list[Pooled]) -> Probe:
    now = system_clock()
    key = KeyList.parse(read_keys(stack.settings.keys_file)["OTP_DIGEST_KEYS"]).newest

    def expire(challenge: LoginChallenge) -> None:
        slot, message_id = Slot(challenge.account_id, Purpose.LOGIN, challenge.id), new_id("sms")
        digest = slot.digest(key, message_id, Passcode(RIGHT))
        gone = LivePasscode(
            message_id, key.id, digest, now - timedelta(seconds=1), key.mac("phone", "+49"), "491510", probe=False
        )
        sms_store.put(redis, slot, gone, SealedText("", now, ""), earlier=(), now=now)

    wrong, expired = (_challenges(stack, redis, kind, now) for kind in (first, second))
    for challenge in (*wrong, *expired):
        expire(challenge)
    tries = _codes(stack, wrong, WRONG), _codes(stack, expired, RIGHT)
    return Probe("code by SMS", ("wrong", "right, but expired"), 401, tries)


def _missing_sheet(stack: Stack, redis: Redis, first: list[Pooled], second: list[Pooled]) -> Probe:
    now = system_clock()
    sheet, other = new_sheet(), new_sheet()[0].format()
    encoded = HashingPool(max_waiting=1).hash(sheet[0].secret)
    without, having = (_challenges(stack, redis, kind, now) for kind in (first, second))
    with writing(create_database(f"sqlite:///{stack.var_dir}/otp.sqlite3")) as connection:
        for challenge in having:
            recovery_code_store.replace_recovery_codes(
                connection, challenge.account_id, [(one, encoded) for one in sheet], now
            )
    tries = _codes(stack, having, other), _codes(stack, without, other)
    return Probe("backup code", ("wrong secret", "no code of that number"), 401, tries)


def _challenges(stack: Stack, redis: Redis, pool: list[Pooled], now: datetime) -> list[LoginChallenge]:
    """A login under way for each, without the login: its hashing would take longer than all that is measured."""
    made = []
    with reading(create_database(f"sqlite:///{stack.var_dir}/auth.sqlite3")) as connection:
        for one in pool:
            found = accounts.credentials(connection, one.email)
            if found is None:
                raise LookupError(one.email)
            challenge = LoginChallenge(
                id=new_id("chl"),
                account_id=found[0].id,
                epoch=session_store.epoch(redis, found[0].id),
                transport="bearer",
                methods=("totp", "sms", "recovery_code"),
                expires_at=now + CHALLENGE_LIFE,
                device_id=None,
                ip=one.ip,
                user_agent="timing",
                binding_digest=token_digest(_BINDING),
            )
            challenge_store.put(redis, challenge, now)
            made.append(challenge)
    return made


def _codes(stack: Stack, challenges: list[LoginChallenge], code: str) -> list[Try]:
    def attempt(challenge: LoginChallenge) -> Try:
        portal = Portal(stack.base_url, ip=challenge.ip, pool=_POOL)
        portal.bindings[challenge.id] = _BINDING
        return lambda: portal.verify(challenge.id, code)

    return [attempt(challenge) for _ in range(CODES_AN_ACCOUNT) for challenge in challenges]
