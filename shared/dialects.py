"""What SQLite and PostgreSQL have both, and SQLAlchemy spells for each apart.

To name a dialect loads it, and the one that a process does not talk to costs it 2 MB.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, Connection, Index, MetaData, Table, TextClause

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert_for(connection: Connection, table: Table) -> "postgresql.Insert | sqlite.Insert":
    """An INSERT that knows ON CONFLICT, in the words of this connection's database."""
    return insert_of(connection.dialect.name, table)


def insert_of(dialect: str, table: Table) -> "postgresql.Insert | sqlite.Insert":
    """The same by the dialect's name."""
    insert: postgresql.Insert | sqlite.Insert = import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
    return insert


def partial_index(
    name: str, *columns: Column[Any], where: ColumnElement[bool] | TextClause, unique: bool = False
) -> Index:
    """An index of the rows for which ``where`` holds, on either database.

    PostgreSQL is told by ``complete``, for migrations: nothing else makes an index.
    """
    return Index(name, *columns, unique=unique, sqlite_where=where)


def complete(metadata: MetaData) -> None:
    """Give every partial index its condition on PostgreSQL, too."""
    for table in metadata.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
