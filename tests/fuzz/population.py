"""Whom the fuzzer plays, and what is there to be found: accounts of each role, written into the stack's own stores.

A fuzzer signs out, ends sessions and spends budgets as it goes. So it doesn't sign in: each of its calls has a session
of its own, opened as a login would open it.
"""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

from sqlalchemy import Engine

from deploy import ceremony
from deploy.portal import AuthenticatorApp, Portal
from services.auth import challenge_store, session_store
from services.auth.challenge_store import LoginChallenge
from services.auth.domain.account import Account, Role
from services.auth.domain.session import Factor, Session
from services.auth.limits import CHALLENGE_LIFE, LONGEST_SESSION
from shared.clock import system_clock
from shared.database import create_database
from shared.hashing import HashingPool
from shared.ids import new_id, new_token, token_digest
from shared.phone import PhoneNumber
from shared.redis_client import connect
from tests.support.auth import add_device, make_account
from tests.support.people import turn_on_two_factor

PASSWORD = "seven wet otters juggle"
ROLES = {"member": Role.MEMBER, "owner": Role.OWNER, "support": Role.SUPPORT}
ACCOUNTS_A_ROLE = 12  # so that no account's budget is what a run ends at
ENROLLED_A_ROLE = 2
CHALLENGES = 40
BINDING = "fuzz-binding"  # of every challenge


@dataclass(frozen=True)
class Stores:
    """The gateway's stores, as tests.support.auth wants them."""

    database: Engine
    redis: object
    clock: object = system_clock


def stores_of(stack) -> Stores:
    return Stores(create_database(f"sqlite:///{stack.var_dir}/auth.sqlite3"), connect_to(stack.settings.redis_url))


def connect_to(redis_url: str):
    return connect(SimpleNamespace(reveal=lambda: redis_url))


def new_session(redis, account_id: str, now: datetime) -> str:
    """A session that has proven everything; its token."""
    session = Session(
        id=new_id("ses"),
        account_id=account_id,
        factors=(Factor.PASSWORD, Factor.TOTP),
        signed_in_with=(Factor.PASSWORD, Factor.TOTP),
        transport="bearer",
        authenticated_at=now,
        stepped_up_at=now,
        expires_at=now + LONGEST_SESSION,
        ip="192.0.2.7",
        user_agent="fuzz",
    )
    token = new_token()
    epoch = session_store.epoch(redis, account_id)
    assert session_store.open_session(redis, session, token, epoch=epoch)
    return token


def populate(stack, path: Path) -> dict[str, list[str]]:
    """Make everything; what a parameter of the document may then be. ``path`` gets the accounts of each role."""
    stores = stores_of(stack)
    password_hash = HashingPool(max_waiting=4, patience_seconds=60).hash(PASSWORD)
    accounts = {
        role: [_account(stores, role, kind, number, password_hash) for number in range(ACCOUNTS_A_ROLE)]
        for role, kind in ROLES.items()
    }
    for operator in accounts["support"]:
        turn_on_two_factor(stack, operator)
    codes = [
        code
        for role in ("member", "owner")
        for account in accounts[role][:ENROLLED_A_ROLE]
        for code in _enroll(stack.base_url, new_session(stores.redis, account.id, system_clock()))
    ]
    found = {
        "body.email": [account.email for account in accounts["member"]],
        "body.password": [PASSWORD],
        "body.code": codes,
        "path.account_id": [account.id for some in accounts.values() for account in some],
        "path.challenge_id": [
            _challenge(stores, accounts["member"][number % ENROLLED_A_ROLE]) for number in range(CHALLENGES)
        ],
        "path.device_id": [_device(stores, account) for some in accounts.values() for account in some],
        "path.reset_id": _resets(stack.base_url, stores, accounts),
    }
    roles = {role: [account.id for account in some] for role, some in accounts.items()}
    path.write_text(json.dumps({"redis_url": stack.settings.redis_url, "roles": roles}), encoding="utf-8")
    return found


def _account(stores: Stores, role: str, kind: Role, number: int, password_hash: str) -> Account:
    return make_account(
        stores,
        f"{role}{number}.{secrets.token_hex(4)}@example.com",
        role=kind,
        team="Fuzz",
        phone=PhoneNumber(f"+49151{secrets.randbelow(10**8):08}") if number % 2 else None,
        password_hash=password_hash,
    )


def _enroll(base_url: str, token: str) -> list[str]:
    portal = Portal(base_url, ip="192.0.2.7", patient=True)
    portal.token = token
    begun = portal.post("/v1/two-factor/enrollment").body
    code = AuthenticatorApp(begun["secret"]).before()
    answer = portal.post(f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm", {"code": code})
    assert answer.status == 200, answer.body
    return answer.body["recovery_codes"]


def _challenge(stores: Stores, account: Account) -> str:
    now = system_clock()
    challenge = LoginChallenge(
        id=new_id("chl"),
        account_id=account.id,
        epoch=session_store.epoch(stores.redis, account.id),
        transport="bearer",
        methods=("totp", "sms", "recovery_code"),
        expires_at=now + CHALLENGE_LIFE,
        device_id=None,
        ip="192.0.2.7",
        user_agent="fuzz",
        binding_digest=token_digest(BINDING),
    )
    challenge_store.put(stores.redis, challenge, now)
    return challenge.id


def _device(stores: Stores, account: Account) -> str:
    return add_device(stores, account, new_token())


def _resets(base_url: str, stores: Stores, accounts: dict[str, list[Account]]) -> list[str]:
    """One open reset for each enrolled account that is not support's."""
    portal = Portal(base_url, ip="192.0.2.8", patient=True)
    portal.token = new_session(stores.redis, accounts["support"][0].id, system_clock())
    made = [
        ceremony.request(portal, account.id, ("email_code", "video_id"), lambda: portal.get("/dev/inbox.json").body)
        for role in ("member", "owner")
        for account in accounts[role][:ENROLLED_A_ROLE]
    ]
    return [reset["id"] for reset in made]
