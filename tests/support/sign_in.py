"""Signing in over the gateway's HTTP, as a bearer client does it."""

import hashlib
from typing import Any

from services.auth import session_store
from services.auth.deps import Deps, subject
from services.auth.domain.account import Account
from services.auth.domain.session import Session
from services.auth.store import devices
from services.auth.store.devices import Device
from shared import budgets
from shared.budgets import Charge, Rate
from shared.database import reading
from tests.support.auth import PASSWORD, Api, FakeOtp

IP = "127.0.0.1"  # of every caller


def log_in(caller: Api, account: Account | str, password: str = PASSWORD, **members: Any) -> Any:
    """POST /v1/login; ``account`` may be an address."""
    headers = members.pop("headers", {})
    email = account if isinstance(account, str) else account.email
    body = {"email": email, "password": password, "transport": "bearer", **members}
    return caller.post("/v1/login", body, headers=headers)


def challenge(caller: Api, account: Account, **members: Any) -> str:
    """The id of a challenge after a right password."""
    answer = log_in(caller, account, **members)
    assert answer.json["status"] == "second_factor_required", answer.json
    return answer.json["challenge"]["id"]


def verify(caller: Api, challenge_id: str, code: str = "424242", **members: Any) -> Any:
    """POST /v1/login/{id}/verify."""
    return caller.post(f"/v1/login/{challenge_id}/verify", {"code": code, **members})


def complete(
    caller: Api, otp: FakeOtp, account: Account, *, factor: str = "totp", remember: bool = False, **members: Any
) -> Any:
    """Password and a right code: the answer to the code."""
    challenge_id = challenge(caller, account, **members)
    otp.expect(account.id, "login", challenge_id, factor=factor)
    answer = verify(caller, challenge_id, remember_device=remember)
    assert answer.status_code == 200, answer.json
    return answer


def trusted_token(caller: Api, otp: FakeOtp, account: Account) -> str:
    """The device token of a client that asked to be remembered."""
    return complete(caller, otp, account, remember=True).json["device_token"]


def device_cookie_name(account: Account) -> str:
    """The name of the cookie by which a browser is known to this account, over http."""
    return f"latchkey_device_{hashlib.sha256(account.id.encode()).hexdigest()[:12]}"


def problem(answer: Any) -> tuple[int, str]:
    """Status and code of a problem."""
    assert answer.mimetype == "application/problem+json", answer.data
    assert answer.json["status"] == answer.status_code
    return answer.status_code, answer.json["code"]


def who_is(api: Any, token: str) -> Any:
    """GET /v1/session with this token."""
    return api().get("/v1/session", headers={"Authorization": f"Bearer {token}"})


def down(answer: Any, part: str) -> None:
    """It says which part is down and when to come back."""
    assert problem(answer) == (503, "service_unavailable")
    assert answer.json["part"] == part
    assert int(answer.headers["Retry-After"]) >= 1


# --- what a login leaves ----------------------------------------------------------------------------------------------


def sessions(deps: Deps, account: Account) -> list[Session]:
    """The live sessions of the account."""
    return session_store.sessions_of(deps.redis, account.id)


def trusted_devices(deps: Deps, account: Account) -> list[Device]:
    """The devices that skip the code."""
    with reading(deps.database) as connection:
        found = devices.known(connection, account.id, deps.clock(), after="", limit=10)
    return [device for device in found if device.is_trusted(deps.clock())]


def spend(deps: Deps, rate: Rate, whose: str, tries: int) -> None:
    """So many tries were counted."""
    for _ in range(tries):
        assert budgets.take(deps.redis, Charge(rate, whose)).allowed


def spent(deps: Deps, rate: Rate, whose: str) -> list[int]:
    """How many tries are counted, a number for each window."""
    keys = Charge(rate, whose).keys()
    return [int(deps.redis.get(key) or 0) for key in keys]


def ip_of(deps: Deps) -> str:
    """The callers' IP as budgets know it."""
    return subject(deps, "ip", IP)


def email_of(deps: Deps, account: Account) -> str:
    """The account's address as budgets know it."""
    return subject(deps, "email", account.email)
