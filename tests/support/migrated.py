"""A service's database with its schema: migrated once, and copied for each test."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine

from shared.database import create_database
from shared.migrations import upgrade


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
