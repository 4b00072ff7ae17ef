"""Accounts with 2FA on, a proven phone and one backup code, written straight into the stack's databases.

Enrolled over the API they would cost a minute of argon2 before anything is measured that matters.
"""

import itertools
import secrets
import time
from dataclasses import dataclass

import pyotp
from sqlalchemy import Engine, update

from deploy.local.keys import read_keys
from deploy.local.stack import Stack
from deploy.portal import STEP_SECONDS
from services.auth.domain.account import Role
from services.auth.domain.browsers import describe
from services.auth.models import accounts as account_table
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from services.otp import recovery_code_store
from services.otp import store as otp_store
from services.otp.domain.recovery_code import new_sheet
from services.otp.secrets_box import SecretBox
from services.otp.store import NewAuthenticator
from shared.clock import system_clock
from shared.database import writing
from shared.hashing import HashingPool
from shared.ids import new_id
from shared.keys import KeyList
from shared.secret import Secret

PASSWORD = "faults-correct-horse-7"
CLIENT = describe("python-urllib3")  # as the load calls itself
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Person:
    """One account, what its owner holds, and where it calls from."""

    id: str
    email: str
    phone: str
    ip: str
    secret: str
    backup_code: str

    def totp(self, step: int) -> str:
        """The code of a time step."""
        return pyotp.TOTP(self.secret).at(step * STEP_SECONDS)


def step_now() -> int:
    """The present time step."""
    return int(time.time()) // STEP_SECONDS


def fill(stack: Stack, auth: Engine, otp: Engine, count: int) -> list[Person]:
    """Make ``count`` accounts. All have one password, and the same backup code of their own number one."""
    box = SecretBox(KeyList.parse(read_keys(stack.settings.keys_file)["OTP_SECRET_KEYS"]))
    hashing = HashingPool(max_waiting=1)
    code = new_sheet()[0]
    password_hash, code_hash = hashing.hash(PASSWORD), hashing.hash(code.secret)
    now = system_clock()
    people: list[Person] = []
    with writing(auth) as connection:
        team = accounts.team_named(connection, f"Faults {secrets.token_hex(4)}", now)
        for number in itertools.islice(_numbers, count):
            # Of fifty prefixes: what a fault leaves without its code must not add up to SMS pumping.
            phone = f"+4474{number % 50:02}{number // 50:06}"
            email = f"faults{number}-{secrets.token_hex(3)}@example.com"
            account = accounts.add(
                connection,
                team_id=team,
                email=email,
                name=f"Faults {number}",
                role=Role.MEMBER,
                password_hash=password_hash,
                now=now,
            )
            connection.execute(
                update(account_table).where(account_table.c.id == account.id).values(phone=phone, phone_verified_at=now)
            )
            ip = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            # Else each of them would be told of a new place, and a load would be twice as many notices as codes.
            timeline.write(connection, account.id, Entry.PASSWORD_ACCEPTED, now, ip=ip, browser=CLIENT)
            people.append(Person(account.id, email, phone, ip, pyotp.random_base32(32), code.format()))
    with writing(otp) as connection:
        for person in people:
            authenticator_id = new_id("enr")
            sealed = box.seal(Secret(pyotp.TOTP(person.secret).byte_secret()), person.id, authenticator_id)
            otp_store.put_active(connection, NewAuthenticator(authenticator_id, person.id, person.email, sealed, now))
            recovery_code_store.replace_recovery_codes(connection, person.id, [(code, code_hash)], now)
    return people
