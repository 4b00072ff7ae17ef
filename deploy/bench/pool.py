"""The pool of enrolled accounts that the benchmark signs in as, written straight into the stack's databases.

A thousand enrolments over the API would measure argon2 for minutes before anything is measured that matters.
"""

from dataclasses import dataclass

import pyotp
from sqlalchemy import update

from deploy.local.keys import read_keys
from deploy.local.stack import Stack
from services.auth.domain.account import Role
from services.auth.domain.browsers import describe
from services.auth.models import accounts as account_table
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from services.otp import store as otp_store
from services.otp.secrets_box import SecretBox
from services.otp.store import NewAuthenticator
from shared.clock import system_clock
from shared.database import create_database, writing
from shared.hashing import HashingPool
from shared.ids import new_id
from shared.keys import KeyList
from shared.secret import Secret

PASSWORD = "bench-pool-correct-horse-7"  # noqa: S105 - of accounts that live as long as the benchmark


@dataclass(frozen=True, slots=True)
class Pooled:
    """One account, and its authenticator's key where 2FA is on; ``ip`` is where it calls from."""

    email: str
    secret: str
    ip: str


def fill(stack: Stack, count: int, *, name: str = "bench", enrolled: bool = True) -> list[Pooled]:
    """Make ``count`` accounts, whose addresses begin with ``name``; with 2FA on if ``enrolled``."""
    keys = read_keys(stack.settings.keys_file)
    box = SecretBox(KeyList.parse(keys["OTP_SECRET_KEYS"]))
    encoded = HashingPool(max_waiting=1).hash(PASSWORD)
    now = system_clock()
    pool: list[Pooled] = []
    authenticators: list[NewAuthenticator] = []
    with writing(create_database(f"sqlite:///{stack.var_dir}/auth.sqlite3")) as connection:
        team = accounts.team_named(connection, "Benchmark", now)
        for number in range(count):
            email, secret = f"{name}{number}@example.com", pyotp.random_base32(32)
            account = accounts.add(
                connection,
                team_id=team,
                email=email,
                name=f"Bench {number}",
                role=Role.MEMBER,
                password_hash=encoded,
                now=now,
            )
            # A number of its own: sends are budgeted by number, too. Of fifty prefixes: a code that nobody enters
            # speaks against its prefix.
            connection.execute(
                update(account_table)
                .where(account_table.c.id == account.id)
                .values(phone=f"+4474{number % 50:02}{number // 50:06}", phone_verified_at=now)
            )
            ip = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            # Its owner has been there before. Else each login would be told as one in a new place.
            timeline.write(connection, account.id, Entry.PASSWORD_ACCEPTED, now, ip=ip, browser=describe(""))
            enrollment_id = new_id("enr")
            sealed = box.seal(Secret(pyotp.TOTP(secret).byte_secret()), account.id, enrollment_id)
            authenticators.append(NewAuthenticator(enrollment_id, account.id, email, sealed, now))
            pool.append(Pooled(email, secret, ip))
    with writing(create_database(f"sqlite:///{stack.var_dir}/otp.sqlite3")) as connection:
        for authenticator in authenticators if enrolled else ():
            otp_store.put_active(connection, authenticator)
    return pool
