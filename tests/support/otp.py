"""The verifier in one process, over a temporary SQLite file, any Redis and a clock that tests turn."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from flask import Flask
from redis import Redis
from sqlalchemy import Engine, event, select, text
from werkzeug.test import TestResponse

from deploy.portal import wait_for
from services.otp import store
from services.otp.app import create_app
from services.otp.deps import Deps, make_deps
from services.otp.domain.failure_row import FailureRow
from services.otp.domain.time_step import step_at
from services.otp.domain.totp import SharedSecret, hotp
from services.otp.limits import durable_row
from services.otp.models import outbox as outbox_tables
from services.otp.models import recovery_codes
from services.otp.settings import OtpSettings
from services.otp.store import NewAuthenticator
from services.otp.worker_deps import WorkerDeps
from shared.clock import unix_seconds
from shared.database import reading, writing
from shared.hashing import HashingPool
from shared.ids import new_id
from shared.keys import KeyList, encode_key
from shared.secret import Secret
from shared.settings import Environment
from shared.signed_messages import content
from tests.support import signing
from tests.support.clock import TurnedClock

API_KEY = bytes(range(32))
ACCOUNT = "acc_ann"
BINDING = "chl_1"
PHONE = "+41791234567"
ENVIRONMENT = {
    "LATCHKEY_ENV": "development",
    "OTP_DATABASE_URL": "sqlite://",
    "REDIS_URL": "redis://127.0.0.1:1",
    "OTP_API_KEYS": f"new:{encode_key(API_KEY)},old:{encode_key(b'o' * 32)}",
    "OTP_SECRET_KEYS": f"s2:{encode_key(b'2' * 32)},s1:{encode_key(b'1' * 32)}",
    "OTP_DIGEST_KEYS": f"d2:{encode_key(b'D' * 32)},d1:{encode_key(b'd' * 32)}",
    "OTP_SIGNING_KEYS": signing.ENVIRONMENT["OTP_SIGNING_KEYS"],
    "PUBLIC_ORIGIN": "https://portal.example:8443",
}


class CurrentDeps:
    """The deps of the world that calls: making an app takes longer than most tests, so all worlds share one."""

    deps: Deps

    def __getattr__(self, name: str) -> Any:
        return getattr(self.deps, name)


_apps: list[tuple[CurrentDeps, Flask]] = []
_building = threading.Lock()  # Python 3.11 can't compile in two threads at once, and Werkzeug compiles its rules


def _only_app(api_keys: KeyList) -> tuple[CurrentDeps, Flask]:
    with _building:
        if not _apps:
            current = CurrentDeps()
            settings = cast("OtpSettings", SimpleNamespace(api_keys=api_keys))
            _apps.append((current, create_app(settings, cast("Deps", current))))
        return _apps[0]


@dataclass
class World:
    """The service and what a test does to it."""

    deps: Deps
    settings: OtpSettings
    clock: TurnedClock
    secrets: dict[str, SharedSecret] = field(default_factory=dict)

    @property
    def app(self) -> Flask:
        current, app = _only_app(self.settings.api_keys)
        current.deps = self.deps
        return app

    @property
    def redis(self) -> Redis:
        return self.deps.redis

    @property
    def database(self) -> Engine:
        return self.deps.database

    @property
    def worker_deps(self) -> WorkerDeps:
        return WorkerDeps(self.deps.database, self.deps.redis, self.clock, self.deps.signer)

    def call(self, method: str, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {encode_key(API_KEY)}"}
        if body is not None:
            kwargs |= {"data": json.dumps(body), "content_type": "application/json"}
        return self.app.test_client().open(path, method=method, headers=headers, **kwargs)

    def account(self, method: str, path: str, body: Any = None, *, account: str = ACCOUNT) -> TestResponse:
        return self.call(method, f"/accounts/{account}/{path}", body)

    def enrol(self, account: str = ACCOUNT) -> SharedSecret:
        """An active authenticator without the ceremony and without recovery codes."""
        secret = Secret(account.encode().ljust(20, b"."))
        authenticator_id = new_id("enr")
        sealed = self.deps.secret_box.seal(secret, account, authenticator_id)
        with writing(self.database) as connection:
            store.put_active(connection, NewAuthenticator(authenticator_id, account, "ann", sealed, self.clock()))
        self.secrets[account] = secret
        return secret

    def code(self, offset: int = 0, *, account: str = ACCOUNT, secret: SharedSecret | None = None) -> str:
        """What the app shows now, or ``offset`` steps from now."""
        return hotp(secret or self.secrets[account], step_at(unix_seconds(self.clock())) + offset)

    def wrong_code(self, account: str = ACCOUNT) -> str:
        """Six digits that are right at no time near now."""
        near = {self.code(offset, account=account) for offset in range(-30, 31)} if account in self.secrets else set()
        return next(f"{number:06}" for number in range(100) if f"{number:06}" not in near)

    def verify(self, code: str, *, account: str = ACCOUNT, purpose: str = "login", binding: str = BINDING,
               device_id: str | None = None) -> TestResponse:  # fmt: skip
        body = {"code": code, "purpose": purpose, "binding": binding, "device_id": device_id}
        return self.account("POST", "verifications", body, account=account)

    def send_sms(self, *, account: str = ACCOUNT, purpose: str = "login", binding: str = BINDING,
                 phone: str = PHONE, device_id: str | None = None, **call: str) -> TestResponse:  # fmt: skip
        body = {"purpose": purpose, "binding": binding, "phone": phone, "device_id": device_id, **call}
        return self.account("POST", "sms-challenges", body, account=account)

    def let_resend(self, *, purpose: str = "login", binding: str = BINDING, account: str = ACCOUNT) -> None:
        """The half minute is over."""
        self.redis.delete(f"budget:otp.sms.resend:30:{account}:{purpose}:{binding}")

    def begin_row(self, account: str = ACCOUNT) -> None:
        """Redis has the account's rows of failures, as after a first try."""
        for row in (FailureRow.STRANGERS, FailureRow.ALL):
            self.redis.set(durable_row(row, account).keys()[0], 0)

    def end_windows(self) -> None:
        """All budget windows are over; the rows of consecutive failures have none."""
        for key in self.redis.keys("budget:*"):
            if "consecutive" not in key:
                self.redis.delete(key)

    def settle(self) -> None:
        """What is recorded after the answer is recorded now."""
        self.deps.recorder.flush()

    def events(self) -> list[dict[str, Any]]:
        """All that stands in the outbox, in order."""
        with reading(self.database) as connection:
            rows = connection.execute(select(outbox_tables.outbox.c.document).order_by(outbox_tables.outbox.c.position))
            return [content(json.loads(row.document)) for row in rows]

    def event_types(self) -> list[str]:
        return [document["type"] for document in self.events()]

    def state(self, account: str = ACCOUNT) -> dict[str, Any]:
        return self.account("GET", "two-factor", account=account).json

    def give_recovery_codes(self, account: str = ACCOUNT) -> list[str]:
        """A new sheet. It hashes ten codes, for which a busy machine may have no time at once."""
        return wait_for(lambda: self.account("POST", "recovery-codes", {}, account=account).json.get("recovery_codes"))

    def recovery_hashes(self) -> list[str]:
        with reading(self.database) as connection:
            return list(connection.execute(select(recovery_codes.c.hash)).scalars())

    def attempts(self, account: str = ACCOUNT) -> list[dict[str, Any]]:
        self.settle()
        return self.account("GET", "attempts", account=account).json["items"]

    def sql(self, statement: str) -> None:
        with writing(self.database) as connection:
            connection.execute(text(statement))


def make_world(database: Engine, redis: Redis, hashing: HashingPool, notify_public_key: str) -> World:
    """The service over these stores."""
    settings = OtpSettings.from_env(Environment({**ENVIRONMENT, "NOTIFY_PUBLIC_KEY": notify_public_key}))
    clock = TurnedClock()
    deps = make_deps(settings, database, redis, hashing, clock=clock, totp_clock=clock)
    return World(deps, settings, clock)


@contextmanager
def counted_statements(database: Engine):
    """The SQL statements that SQLite runs for this thread, as a growing list."""
    statements: list[str] = []
    thread = threading.get_ident()

    def note(statement) -> None:
        if threading.get_ident() == thread:
            statements.append(statement)

    def trace(connection, *_rest) -> None:
        connection.set_trace_callback(note)

    event.listen(database, "checkout", trace)
    try:
        yield statements
    finally:
        event.remove(database, "checkout", trace)
        with database.connect() as connection:
            connection.connection.driver_connection.set_trace_callback(None)
