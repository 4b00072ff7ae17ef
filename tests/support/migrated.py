"""A service's database with its schema: migrated once, copied for each test, and set back to a backup."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from shared.database import create_database
from shared.migrations import upgrade
from tests.support.clock import TurnedClock


def migrated(service: str, folder: Path) -> Path:
    """An SQLite file of the whole schema, in one piece."""
    path = folder / "migrated.sqlite3"
    upgrade(service, f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that copying this one file copies everything
    return path


@contextlib.contextmanager
def copied(migrated_file: Path, folder: Path) -> Iterator[Engine]:
    """A database of one's own."""
    path = folder / "copy.sqlite3"
    shutil.copy(migrated_file, path)
    engine = create_database(f"sqlite:///{path}")
    try:
        yield engine
    finally:
        engine.dispose()


class Backup:
    """A backup of a copied database, and the way back to it. ``settle`` writes what is not in the database yet."""

    def __init__(self, database: Engine, clock: TurnedClock, settle: Callable[[], object]) -> None:
        self._database, self._clock, self._settle = database, clock, settle
        self._path = Path(str(database.url.database))
        self._backup = self._path.with_name("backup.sqlite3")
        self.taken_at: datetime | None = None

    def take(self) -> None:
        """Take the backup, and let ten minutes pass."""
        self._settle()
        with self._database.connect() as connection:
            connection.exec_driver_sql(f"VACUUM INTO '{self._backup}'")
        self.taken_at = self._clock()
        self._clock.turn(minutes=10)

    def restore(self) -> None:
        """Set the database back to the backup."""
        self._settle()
        self._database.dispose()
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        shutil.copy(self._backup, self._path)
