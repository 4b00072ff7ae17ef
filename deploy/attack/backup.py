"""A backup of a local stack (SQLite files, Redis's folder), and its restore by the commands of docs/restore.md."""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import urllib3
from sqlalchemy import make_url

from deploy.attack.browser import Browser
from deploy.attack.probe import CannotTryError
from deploy.local.environment import environment_of
from deploy.local.keys import read_keys
from deploy.local.redis_server import answers_ping
from deploy.local.stack import Stack
from deploy.portal import wait_for
from shared.clock import rfc3339
from shared.database import opened

SERVICES = ("auth", "otp")
_PROGRAMS = ("auth", "otp", "background", "notify-codes")  # in the order in which they stop
_REDIS_SYNCS_SECONDS = 1.5
_READY_SECONDS = 60.0


class Backup:
    """A backup, taken when the object is made. Raises CannotTryError where the stores are not the stack's own files."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self._environment = environment_of("after-restore", stack.settings, read_keys(stack.settings.keys_file))
        if any(make_url(self._url(name)).get_backend_name() != "sqlite" for name in SERVICES):
            raise CannotTryError("needs SQLite, whose files can be set back")
        if not stack.pid_of("redis"):
            raise CannotTryError("needs a Redis of the stack's own")
        self._code = stack.processes_of("auth")[0].cwd()  # the commands are those of the code that runs
        self._taken_at = rfc3339(datetime.now(UTC))
        for name in SERVICES:
            with opened(self._url(name)) as database, database.connect() as connection:
                connection.exec_driver_sql(f"VACUUM INTO '{folder / name}'")
        time.sleep(_REDIS_SYNCS_SECONDS)
        shutil.copytree(self._redis, folder / "redis")

    def put_back(self) -> int:
        """Stop the stack's programs, restore all stores, run the runbook's commands, and start the programs.

        Returns the Unix time in seconds just before otp's command, which refuses app codes of steps up to that time.
        """
        for program in (*_PROGRAMS, "redis"):
            self._stack.stop_program(program)
        for name in SERVICES:
            path = Path(str(make_url(self._url(name)).database))
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            shutil.copy(self._folder / name, path)
        shutil.rmtree(self._redis)
        shutil.copytree(self._folder / "redis", self._redis)
        self._stack.start_program("redis")
        answers_ping(self._stack.settings.redis_port, _READY_SECONDS)
        auth_report = self._run("auth", [])
        refused_until = int(time.time())
        otp_report = self._run("otp", ["--recovery-codes=keep", "--auth-report=-"], auth_report)
        self._run("auth", ["--otp-report=-"], otp_report)
        for program in reversed(_PROGRAMS):
            self._stack.start_program(program)
        wait_for(self._is_ready, seconds=_READY_SECONDS, every=0.5)
        return refused_until

    @property
    def _redis(self) -> Path:
        return self._stack.var_dir / "redis" / "appendonlydir"

    def _url(self, name: str) -> str:
        return self._environment[f"{name.upper()}_DATABASE_URL"]

    def _run(self, service: str, arguments: Sequence[str], report: str = "") -> str:
        what = ["--backup-taken-at", self._taken_at, *(f"--restored={part}" for part in (*SERVICES, "redis"))]
        done = subprocess.run(
            [sys.executable, "-m", f"services.{service}", "after-restore", *what, *arguments],
            cwd=self._code,
            env=self._environment,
            input=report,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{service} after-restore: {done.stderr[-500:]}")
        return done.stdout

    def _is_ready(self) -> bool:
        """Whether the gateway is ready again."""
        try:
            return Browser(self._stack.base_url).get("/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False
