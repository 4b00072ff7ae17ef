"""Accounts for the probes, many at a time, as `python -m services.auth accounts create` would make them one by one."""

import os
import secrets
from collections.abc import Mapping

from deploy.attack.accounts import Account
from deploy.local.seed import new_password
from services.auth import enrollment_words
from services.auth.domain.account import Role
from services.auth.settings import database_url_from_env
from services.auth.store import accounts
from shared.clock import system_clock
from shared.database import opened, writing
from shared.hashing import HashingPool
from shared.keys import KeyList
from shared.settings import Environment

_HASHING_SECONDS = 300.0


def make_accounts(environment: Mapping[str, str], *, members: int, teams: int, support: int) -> list[Account]:
    """Make ``members`` plain members, ``teams`` of an owner and a member each, and ``support`` operators.

    ``environment`` says AUTH_DATABASE_URL, and AUTH_DIGEST_KEYS where operators are made: their enrolment takes a word.
    Each account gets a random password of its own, hashed on all cores. Raises SettingsError and SQL errors.
    """
    tag = secrets.token_hex(4)
    plans = [("member", f"Attack {tag}")] * members + [("support", f"Attack support {tag}")] * support
    for number in range(teams):
        plans += [("owner", f"Attack team {tag}-{number}"), ("member", f"Attack team {tag}-{number}")]
    drafts = [
        Account(f"attack-{tag}-{number}@example.com", new_password(), role, team)
        for number, (role, team) in enumerate(plans)
    ]
    pool = HashingPool(max_waiting=1, threads=os.cpu_count(), patience_seconds=_HASHING_SECONDS)
    hashes = pool.hash_many([draft.password for draft in drafts])
    digest_keys = _digest_keys(environment) if support else None
    with opened(database_url_from_env(Environment(environment))) as database, writing(database) as connection:
        now = system_clock()
        made = []
        for draft, encoded in zip(drafts, hashes, strict=True):
            account = accounts.add(
                connection,
                team_id=accounts.team_named(connection, draft.team, now),
                email=draft.email,
                name="Attack Probe",
                role=Role(draft.role),
                password_hash=encoded,
                now=now,
            )
            word = None
            if digest_keys is not None and account.role is Role.SUPPORT:
                _, word = enrollment_words.issue(connection, digest_keys, account.id, now, usable_at_once=True)
            made.append(Account(draft.email, draft.password, draft.role, draft.team, account.id, word))
    return made


def _digest_keys(environment: Mapping[str, str]) -> KeyList:
    env = Environment(environment)
    keys = env.keys("AUTH_DIGEST_KEYS")
    env.done()
    return keys
