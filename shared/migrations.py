"""Alembic for a service, called from code: no ini file, no second place for the URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData

from shared.database import UtcDateTime, create_database, writing
from shared.dialects import complete


def _config(service: str, connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", f"services.{service}:migrations")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _database(url: str) -> Iterator[Engine]:
    """An engine for one job, with its connections closed at the end."""
    engine = create_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


def upgrade(service: str, url: str) -> None:
    """Bring the database of ``service`` to the newest revision; a second call changes nothing."""
    with _database(url) as database, writing(database) as connection:
        command.upgrade(_config(service, connection), "head")


def revision(service: str, url: str, message: str) -> None:
    """Write a new revision from the difference between models and database (for developers)."""
    with _database(url) as database, writing(database) as connection:
        command.revision(_config(service, connection), message=message, autogenerate=True)


def heads(service: str) -> list[str]:
    """The newest revisions; more than one means that two branches met."""
    return list(ScriptDirectory.from_config(_config(service)).get_heads())


def differences(service: str, url: str) -> list[Any]:
    """What models and database disagree on; empty when they match."""
    from importlib import import_module  # noqa: PLC0415 - the service is an argument; shared imports none by name

    metadata: MetaData = import_module(f"services.{service}.models").metadata
    complete(metadata)
    with _database(url) as database, database.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


def run_env(metadata: MetaData) -> None:
    """The whole of a service's migrations/env.py."""
    from alembic import context  # noqa: PLC0415 - alembic fills the proxy only while it runs env.py

    complete(metadata)
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        render_as_batch=True,
        compare_type=True,
        render_item=_render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


def _render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Revisions spell our column type as SQL has it: they must not change when the code does."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False
