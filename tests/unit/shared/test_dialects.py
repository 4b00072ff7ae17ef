"""One model for two databases: partial indexes and inserts that meet a conflict, on either."""

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex

from services.auth.models import metadata as auth
from services.otp.models import metadata as otp
from shared.dialects import complete, insert_for, partial_index

PARTIAL = {
    auth: {
        "ix_outbox_unpublished": "published_at IS NULL",
        "uq_two_factor_resets_open": "status IN ('",
        "ix_timeline_unsealed": "sequence IS NULL",
        "ix_timeline_operators": "actor LIKE 'operator:",
    },
    otp: {
        "ix_outbox_unpublished": "published_at IS NULL",
        "ix_authenticators_key": "key_id IS NOT NULL",
        "uq_authenticators_active": "status = 'ACTIVE'",
        "uq_authenticators_pending": "status = 'PENDING'",
    },
}


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("metadata", [auth, otp], ids=["auth", "otp"])
def test_the_same_indexes_are_partial_on_both_databases_once_migrations_look_at_them(metadata, dialect):
    complete(metadata)
    statements = {
        index.name: str(CreateIndex(index).compile(dialect=dialect))
        for table in metadata.tables.values()
        for index in table.indexes
    }
    conditions = {name: text.partition(" WHERE ")[2] for name, text in statements.items() if " WHERE " in text}
    assert conditions.keys() == PARTIAL[metadata].keys()
    assert all(conditions[name].startswith(start) for name, start in PARTIAL[metadata].items())


def test_a_partial_unique_index_holds_for_its_rows_only_and_an_insert_gives_way_to_what_is_there():
    metadata = MetaData()
    table = Table("things", metadata, Column("id", Integer, primary_key=True), Column("kind", Integer))
    partial_index("uq_first", table.c.kind, where=table.c.kind == 1, unique=True)
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as connection:
        for kind in (1, 1, 2, 2):
            connection.execute(insert_for(connection, table).values(kind=kind).on_conflict_do_nothing())
        assert connection.execute(select(table.c.kind).order_by(table.c.id)).scalars().all() == [1, 2, 2]
    engine.dispose()
