"""Backups of the stack, and the steps of docs/restore.md after one is put back, by the commands' own functions."""

import itertools
import shutil
from datetime import datetime, timedelta
from pathlib import Path

from redis import Redis
from sqlalchemy import Engine, delete, func, select

from services.auth import after_restore as of_auth
from services.auth import journaled as auth_journaled
from services.auth.deps import Deps as AuthDeps
from services.auth.models import RESTORES as AUTH_RESTORES
from services.auth.sealer import AuditDeps, seal_all
from services.auth.settings import AuditSettings
from services.otp import after_restore as of_otp
from services.otp import journaled as otp_journaled
from services.otp.domain.reconciliation import Told
from services.otp.models import RESTORES as OTP_RESTORES
from services.otp.models import outbox as otp_box
from shared.clock import Clock
from shared.database import reading, writing
from shared.journal import Journal
from shared.keys import KeyList, encode_key
from shared.restore_commands import Gap
from shared.settings import Environment
from tests.support import auth
from tests.support.otp import World

_RESTORES = {"auth": AUTH_RESTORES, "otp": OTP_RESTORES}
KEYS = KeyList.parse(f"j1:{encode_key(b'j' * 32)}")


class Backups:
    """One backup at a time, of both databases and Redis, and the journals of what happened since."""

    def __init__(self, folder: Path, gateway: AuthDeps, world: World, clock: Clock) -> None:
        self._folder, self._gateway, self._world, self._clock = folder, gateway, world, clock
        keys = AuditSettings.from_env(Environment(auth.ENVIRONMENT)).audit_keys
        self._chain = AuditDeps(gateway.database, keys, clock)
        self._databases = {"auth": gateway.database, "otp": world.database}
        self._journals = {name: Journal(folder / f"{name}.journal", KEYS, name) for name in self._databases}
        self._different = itertools.count(1)  # a restore is known by the time of its backup
        auth_journaled.keep(gateway.database, self._journals["auth"], clock)
        otp_journaled.keep(world.database, self._journals["otp"], clock)
        self._held: dict[str, tuple[bytes, datetime | None]] = {}
        self.taken_at: datetime | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew, without a backup, and without restores: the clock of the next sequence is behind theirs."""
        self.taken_at = None
        for name, journal in self._journals.items():
            (self._folder / f"{name}.journal").unlink(missing_ok=True)
            journal.begin(self._clock())
            with writing(self._databases[name]) as connection:
                connection.execute(delete(_RESTORES[name].findings))
                connection.execute(delete(_RESTORES[name].restores))

    def take(self) -> None:
        """Back up both databases and Redis."""
        seal_all(self._chain)
        for name, database in self._databases.items():
            self._copy(name).unlink(missing_ok=True)
            with database.connect() as connection:
                connection.exec_driver_sql(f"VACUUM INTO '{self._copy(name)}'")
        redis = self._world.redis
        self._held = {key: (redis.dump(key), _expires(redis, key, self._clock())) for key in redis.keys("*")}
        self.taken_at = self._clock()

    def put_back(self, *parts: str) -> int:
        """Set these parts back and run the runbook's commands. Returns the last position of otp's outbox before."""
        assert self.taken_at is not None
        for name, database in self._databases.items():
            if name in parts:
                self._put_database_back(name, database)
        if "redis" in parts:
            self._put_redis_back()
        with reading(self._world.database) as connection:
            last = connection.execute(select(func.max(otp_box.outbox.c.position))).scalar_one() or 0
        self._run_commands(frozenset(parts))
        return int(last)

    def _run_commands(self, parts: frozenset[str]) -> None:
        assert self.taken_at is not None
        taken_at = self.taken_at - timedelta(microseconds=next(self._different))
        gap = Gap(taken_at, without=False, despite=False)
        changes = {name: gap.changes(journal, name.upper()) for name, journal in self._journals.items()}
        auth_order = of_auth.Order(taken_at, parts, changes["auth"] if "auth" in parts else [])
        restore = of_auth.begin(self._gateway, self._chain, auth_order, _unwatched)
        told = {}
        if parts & {"auth", "otp"}:
            for line in of_auth.two_factor_by_timeline(self._gateway):
                told[line["account_id"]] = Told(line["two_factor"] == "on", line["at"])
        otp_order = of_otp.Order(
            taken_at, parts, keep_recovery_codes=True, entries=changes["otp"] if "otp" in parts else [], told=told
        )
        found = of_otp.carry_out(self._world.worker_deps, otp_order, _unwatched)
        if parts & {"auth", "otp"}:
            of_auth.complete(self._gateway, self._chain, restore, found, _unwatched)

    def _put_database_back(self, name: str, database: Engine) -> None:
        path = Path(str(database.url.database))
        database.dispose()
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        shutil.copy(self._copy(name), path)

    def _put_redis_back(self) -> None:
        redis, now = self._world.redis, self._clock()
        redis.flushall()
        for key, (value, ends_at) in self._held.items():
            if ends_at is None or ends_at > now:
                redis.restore(key, 0 if ends_at is None else int((ends_at - now).total_seconds() * 1000), value)

    def _copy(self, name: str) -> Path:
        return self._folder / f"{name}.backup"


def _expires(redis: Redis, key: str, now: datetime) -> datetime | None:
    left = redis.pttl(key)
    return now + timedelta(milliseconds=left) if left > 0 else None


def _unwatched(_done: int) -> None:
    """Take the progress of a command, and show nothing."""
