"""auth and otp as an operator finds them after a restore: databases, journals, and commands."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from services.auth import __main__ as auth_cli
from services.auth.deps import Deps
from services.otp import __main__ as otp_cli
from shared.clock import rfc3339
from shared.journal import Journal
from shared.keys import KeyList
from tests.support import auth, otp
from tests.support.otp import World

JOURNAL_KEYS = f"j1:{'A' * 43}"


@dataclass
class Commands(ABC):
    """One service's database and journal, and its commands as an operator calls them."""

    redis_url: str
    folder: Path
    taken_at: datetime
    patched: pytest.MonkeyPatch

    name: ClassVar[str]
    main: ClassVar[click.Group]
    others_name: ClassVar[str]

    def __post_init__(self) -> None:
        self.journal.begin(self.taken_at - timedelta(days=1))

    @property
    @abstractmethod
    def database(self) -> Engine:
        """The service's database."""

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The service's own keys."""

    @property
    def journal_file(self) -> Path:
        return self.folder / "journal"

    @property
    def journal(self) -> Journal:
        return Journal(self.journal_file, KeyList.parse(JOURNAL_KEYS), self.name)

    def settings(self) -> dict[str, str]:
        """The environment variables of the service's processes."""
        prefix = self.name.upper()
        return {
            **self.environment,
            "REDIS_URL": self.redis_url,
            f"{prefix}_DATABASE_URL": str(self.database.url),
            f"{prefix}_JOURNAL": str(self.journal_file),
            f"{prefix}_JOURNAL_KEYS": JOURNAL_KEYS,
        }

    def call(
        self,
        *arguments: str,
        stdin: str | None = None,
        without: Sequence[str] = (),
        changed: Mapping[str, str] | None = None,
    ) -> Result:
        """Call any command of this service, with its environment but for the settings that are left out or changed."""
        with self.patched.context() as patched:
            for name in ("STATE_REDIS_URL", "BROKER_URL"):
                patched.delenv(name, raising=False)
            for name, value in {**self.settings(), **(changed or {})}.items():
                if name not in without:
                    patched.setenv(name, value)
            return CliRunner().invoke(self.main, list(arguments), input=stdin)

    def after_restore(
        self,
        *arguments: str,
        taken_at: datetime | None = None,
        restored: Sequence[str] | None = None,
        stdin: str | None = None,
        without: Sequence[str] = (),
        changed: Mapping[str, str] | None = None,
    ) -> Result:
        """Call after-restore, by default for the fixture's backup and for this service's database."""
        what = [f"--restored={name}" for name in ((self.name,) if restored is None else restored)]
        time = ["--backup-taken-at", rfc3339(taken_at or self.taken_at)]
        return self.call("after-restore", *time, *what, *arguments, stdin=stdin, without=without, changed=changed)

    def others_report(self, *lines: dict[str, Any], taken_at: datetime | None = None) -> str:
        """A report as the other service prints it."""
        about = {"report": self.others_name, "backup_taken_at": rfc3339(taken_at or self.taken_at)}
        first = {**about, "restore": "rto_other", "other_restore": None}
        return "\n".join(json.dumps(line) for line in (first, *lines, {"end": len(lines)}))


@dataclass
class Auth(Commands):
    """The commands of auth."""

    deps: Deps

    name = "auth"
    others_name = "otp"
    main = auth_cli.main

    @property
    def database(self) -> Engine:
        return self.deps.database

    @property
    def environment(self) -> dict[str, str]:
        return auth.ENVIRONMENT


@dataclass
class Otp(Commands):
    """The commands of otp."""

    world: World

    name = "otp"
    others_name = "auth"
    main = otp_cli.main

    @property
    def database(self) -> Engine:
        return self.world.database

    @property
    def environment(self) -> dict[str, str]:
        verify = {"AUTH_VERIFY_KEYS": auth_verify_keys(), "NOTIFY_PUBLIC_KEY": auth.ENVIRONMENT["NOTIFY_PUBLIC_KEY"]}
        return {**otp.ENVIRONMENT, **verify}


def auth_verify_keys() -> str:
    """The public halves with which otp checks auth's events."""
    return otp.signing.ENVIRONMENT["AUTH_VERIFY_KEYS"]
