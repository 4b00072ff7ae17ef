"""Accounts of a running stack, many at a time, made as the services' own commands make them one by one.

A command is a process that imports a service, which takes longer than most of what a test then does with the account.
"""

import base64
import os
import secrets
from dataclasses import dataclass

from deploy.local.environment import environment_of
from deploy.local.keys import read_keys
from services.auth import enrollment_words
from services.auth.domain.account import Role
from services.auth.settings import database_url_from_env
from services.auth.store import accounts
from services.otp import authenticators
from services.otp.secrets_box import SecretBox
from shared.clock import system_clock
from shared.database import opened, writing
from shared.hashing import HashingPool
from shared.secret import Secret
from shared.settings import Environment


@dataclass
class Made:
    id: str
    email: str
    password: str
    enrollment_word: str | None = None


def make_people(stack, people, role="member", team="Example Ltd"):
    """An account for each of these people, with a password of its own."""
    passwords = [f"correct horse {secrets.token_hex(6)}" for _ in people]
    hashes = HashingPool(max_waiting=1, threads=os.cpu_count(), patience_seconds=300).hash_many(passwords)
    environment = Environment(environment_of("auth", stack.settings, read_keys(stack.settings.keys_file)))
    made = []
    with opened(database_url_from_env(environment)) as database, writing(database) as connection:
        for person, password, encoded in zip(people, passwords, hashes, strict=True):
            now = system_clock()
            account = accounts.add(
                connection,
                team_id=accounts.team_named(connection, team, now),
                email=person.email,
                name=person.name,
                role=Role(role),
                password_hash=encoded,
                now=now,
            )
            word = None
            if account.role is Role.SUPPORT:
                keys = environment.keys("AUTH_DIGEST_KEYS")
                _, word = enrollment_words.issue(connection, keys, account.id, now, usable_at_once=True)
            made.append(Made(account.id, account.email, password, word))
    return made


def turn_on_two_factor(stack, person):
    """As `authenticators import` does: proven elsewhere, without backup codes. The key, in base32."""
    key = base64.b32encode(secrets.token_bytes(20)).decode()
    environment = Environment(environment_of("otp", stack.settings, read_keys(stack.settings.keys_file)))
    url, keys = environment.secret("OTP_DATABASE_URL"), environment.keys("OTP_SECRET_KEYS")
    with opened(url.reveal()) as database:
        authenticators.import_active(
            database, SecretBox(keys), system_clock, account_id=person.id, label=person.email, base32=Secret(key)
        )
    return key
