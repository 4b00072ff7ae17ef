"""Both services in one process: their own code, SQLite, a fake Redis, and one clock for all, which tests turn."""

import dataclasses
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import fakeredis
from argon2 import PasswordHasher
from fakeredis import _helpers as fake_time_of_helpers
from fakeredis._socket import _base as fake_time_of_server
from sqlalchemy import delete, select

from services.auth import events
from services.auth.deps import Deps as AuthDeps
from services.auth.domain.account import Account, Role
from services.auth.models import BOX
from services.auth.otp_client import OtpClient
from services.otp import recovery_code_store
from services.otp.domain.recovery_code import RecoveryCode, new_sheet
from services.otp.models import outbox as otp_box
from services.otp.recorder import AttemptRecorder
from shared import redis_line
from shared.database import create_database, reading, writing
from shared.envelope import open_envelope
from shared.hashing import HashingPool
from shared.ids import new_id
from shared.keys import Key, encode_key
from shared.messages import SecondFactorLocked
from shared.migrations import upgrade
from shared.secret import Secret
from tests.lockout.backups import Backups
from tests.support import auth
from tests.support.auth import NOTIFY_PRIVATE_KEYS, PASSWORD, PHONE, ListPublisher
from tests.support.clock import NOW
from tests.support.otp import API_KEY, World, make_world
from tests.support.signing import SIGNERS, message_in

# A hash says how it is to be compared. These cost next to nothing, so that thousands of sign-ins do.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class Clock:
    """The time for otp, the gateway and the fake Redis.

    ``meanwhile`` happens when otp next looks at the clock: after a try was counted and before it is compared.
    """

    now: datetime = NOW
    meanwhile: Callable[[], object] | None = None

    def __call__(self) -> datetime:
        if self.meanwhile is not None:
            action, self.meanwhile = self.meanwhile, None
            action()
        return self.now

    def timestamp(self) -> float:
        """As the fake Redis reads it."""
        return self.now.timestamp()


class RecorderByHand(AttemptRecorder):
    """It writes when a test says so: no thread."""

    def _start(self) -> None:
        pass


class Line:
    """The gateway's line to otp, without the network."""

    def __init__(self, world: World) -> None:
        self._world = world

    def exchange(self, method: str, path: str, body: bytes = b"", *, hashes: bool = False) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {encode_key(API_KEY)}", "Content-Type": "application/json"}
        answer = self._world.app.test_client().open(path, method=method, data=body, headers=headers)
        return answer.status_code, answer.data

    def close(self) -> None:
        pass


class LocalOtp(OtpClient):
    """The gateway's own client, on that line."""

    def __init__(self, world: World) -> None:
        super().__init__("http://otp.invalid", Key("new", Secret(API_KEY)))
        self._line = Line(world)


@dataclass
class Stage:
    """What the machine plays on."""

    clock: Clock
    world: World
    gateway: AuthDeps
    operator: Account
    password_hash: str
    sheet: list[tuple[RecoveryCode, str]]
    backups: Backups
    _seen: int = 0
    lock_notices: Counter = field(default_factory=Counter)

    def begin(self) -> Account:
        """A new morning with an empty Redis: an account with 2FA, backup codes and a proven phone."""
        self.clock.now, self.clock.meanwhile = NOW, None
        self.flush()  # what a broken sequence left
        self.world.redis.flushall()
        self.backups.forget()
        self.lock_notices.clear()
        account = auth.make_account(
            self.gateway, f"{new_id('ann').lower()}@example.com", phone=PHONE, password_hash=self.password_hash
        )
        self.world.enrol(account.id)
        with writing(self.world.database) as connection:
            recovery_code_store.replace_recovery_codes(connection, account.id, self.sheet, NOW)
        return account

    def flush(self) -> None:
        """What is recorded after the answer is recorded, and the gateway hears of it; every event comes twice."""
        self.world.deps.recorder.flush()
        with reading(self.world.database) as connection:
            rows = connection.execute(
                select(otp_box.outbox.c.position, otp_box.outbox.c.document)
                .where(otp_box.outbox.c.position > self._seen)
                .order_by(otp_box.outbox.c.position)
            ).all()
        for position, document in rows:
            self._seen, event = position, message_in(json.loads(document))
            with writing(self.gateway.database) as connection:
                connection.execute(delete(BOX.outbox))
            for _ in range(2):
                events.handle(self.gateway, event)
            if isinstance(event, SecondFactorLocked):
                self.lock_notices.update((event.scope, notice.TYPE) for notice in auth.outbox(self.gateway))

    def restore(self, *parts: str) -> None:
        """Set these back to the last backup, as docs/restore.md says."""
        self._seen = self.backups.put_back(*parts)

    def passcode(self, message_id: str) -> str:
        """The code in a text that waits to be sent."""
        return open_envelope(NOTIFY_PRIVATE_KEYS, self.world.redis.get(f"notify:sealed:{message_id}")).body[-6:]


@contextmanager
def stage() -> Iterator[Stage]:
    """Set it up, and clear it away."""
    clock = Clock()
    fake_time = SimpleNamespace(time=clock.timestamp)
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(fake_time_of_helpers, "time", fake_time),
        patch.object(fake_time_of_server, "time", fake_time),
    ):
        databases = {}
        for service in ("auth", "otp"):
            url = f"sqlite:///{Path(folder) / service}.sqlite3"
            upgrade(service, url)
            databases[service] = create_database(url)
        hashing = HashingPool(max_waiting=16, patience_seconds=60)
        redis = fakeredis.FakeRedis(decode_responses=True)
        world = make_world(databases["otp"], redis, hashing, auth.ENVIRONMENT["NOTIFY_PUBLIC_KEY"])
        recorder = RecorderByHand(databases["otp"], redis, lambda: clock.now, SIGNERS["otp"])  # no meanwhile in here
        world.clock = clock
        world.deps = dataclasses.replace(world.deps, clock=clock, totp_clock=clock, recorder=recorder)
        gateway = AuthDeps(
            settings=auth.settings(),
            database=databases["auth"],
            redis=redis,
            otp=LocalOtp(world),
            publisher=ListPublisher(),
            hashing=hashing,
            clock=lambda: clock.now,
            signer=SIGNERS["auth"],
        )
        operator = auth.make_account(gateway, "sam@latchkey.example", role=Role.SUPPORT, team="Support")
        sheet = [(code, CHEAP.hash(code.secret)) for code in new_sheet()]
        backups = Backups(Path(folder), gateway, world, lambda: clock.now)
        yield Stage(clock, world, gateway, operator, CHEAP.hash(PASSWORD), sheet, backups)
        redis_line._lines.of.clear()
        for database in databases.values():
            database.dispose()
