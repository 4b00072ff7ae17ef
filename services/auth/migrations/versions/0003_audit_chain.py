"""The timeline becomes append-only and chained: seals, signed anchors, erasures, and triggers that keep rows as they are.

Rows from before get their seals at the first run of the sealer, oldest first. A later migration that has SQLite make
the table anew (batch_alter_table with a copy) must make the triggers anew, too: see 0004.
"""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UNSEALED = sa.text("sequence IS NULL")
PERSONAL_DETAILS = ("browser", "phone_hint")
PAGE = 500

CONTENT = ("position", "id", "account_id", "at", "type", "actor", "details")
SEAL = ("sequence", "sealed_at", "commitment", "key_id", "mac")
JSON_COLUMNS = ("details", "personal")  # PostgreSQL compares them as text only

ROWS = sa.table(
    "timeline",
    sa.column("position", sa.BigInteger),
    sa.column("details", sa.JSON),
    sa.column("personal", sa.JSON(none_as_null=True)),
)


def upgrade() -> None:
    for column in (
        sa.Column("personal", sa.JSON(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("salt", sa.String(length=32), nullable=True),
        sa.Column("commitment", sa.String(length=64), nullable=True),
        sa.Column("key_id", sa.String(length=32), nullable=True),
        sa.Column("mac", sa.String(length=80), nullable=True),
    ):
        op.add_column("timeline", column)
    op.create_index("uq_timeline_sequence", "timeline", ["sequence"], unique=True)
    op.create_index(
        "ix_timeline_unsealed", "timeline", ["position"], sqlite_where=UNSEALED, postgresql_where=UNSEALED
    )
    op.create_table(
        "timeline_anchors",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.String(length=80), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("signature", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_timeline_anchors")),
    )
    op.create_table(
        "timeline_erasures",
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("signature", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_timeline_erasures")),
    )
    _for_each_row(_set_apart)
    guard()


def downgrade() -> None:
    _unguard()
    _for_each_row(_put_back)
    op.drop_table("timeline_erasures")
    op.drop_table("timeline_anchors")
    op.drop_index("ix_timeline_unsealed", "timeline")
    op.drop_index("uq_timeline_sequence", "timeline")
    with op.batch_alter_table("timeline", schema=None) as batch_op:
        for column in ("mac", "key_id", "commitment", "salt", "sealed_at", "sequence", "personal"):
            batch_op.drop_column(column)


Json = dict[str, Any]
Parts = tuple[Json, Json | None]  # details and personal


def _set_apart(details: Json, _personal: Json | None) -> Parts:
    apart = {name: details[name] for name in PERSONAL_DETAILS if name in details}
    return {name: value for name, value in details.items() if name not in apart}, apart or None


def _put_back(details: Json, personal: Json | None) -> Parts:
    return {**details, **(personal or {})}, None


def _for_each_row(change: Callable[[Json, Json | None], Parts]) -> None:
    connection, last = op.get_bind(), -1
    pages = sa.select(ROWS).order_by(ROWS.c.position).limit(PAGE)
    while page := connection.execute(pages.where(ROWS.c.position > last)).all():
        for position, details, personal in page:
            after = change(details, personal)
            if after != (details, personal):
                values = dict(zip(("details", "personal"), after, strict=True))
                connection.execute(sa.update(ROWS).where(ROWS.c.position == position).values(values))
        last = page[-1].position


def guard() -> None:
    """The triggers. What may happen to a row: it is inserted without a seal, gets one, loses the personal part that an
    erasure covers, and is deleted when a checkpoint covers it. The anchors go forward only."""
    for statement in _POSTGRESQL if op.get_bind().dialect.name == "postgresql" else _SQLITE:
        op.get_bind().exec_driver_sql(statement)


def _unguard() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for statement in (
            "DROP FUNCTION timeline_guard() CASCADE",
            "DROP FUNCTION timeline_refuse() CASCADE",
        ):
            op.get_bind().exec_driver_sql(statement)
        return
    for name in ("insert", "update", "delete", "anchor_update", "anchor_delete"):
        op.get_bind().exec_driver_sql(f"DROP TRIGGER timeline_no_{name}")


def _same(columns: Sequence[str], equals: str, cast: str) -> str:
    casts = {name: cast if name in JSON_COLUMNS else "" for name in columns}
    return " AND ".join(f"NEW.{name}{cast} {equals} OLD.{name}{cast}" for name, cast in casts.items())


def _may_change(equals: str, cast: str, actors_account: str) -> str:
    return f"""({_same(CONTENT, equals, cast)} AND (
        (OLD.sequence IS NULL AND NEW.sequence IS NOT NULL AND {_same(("ip", "personal"), equals, cast)})
        OR (OLD.sequence IS NOT NULL AND {_same(SEAL, equals, cast)}
            AND NEW.ip IS NULL AND NEW.personal IS NULL AND NEW.salt IS NULL
            AND EXISTS (SELECT 1 FROM timeline_erasures AS erasure WHERE erasure.through >= OLD.sequence
                AND erasure.account_id IN (OLD.account_id, {actors_account})))))"""  # nosec B608  # our own words


_MAY_GO = """(OLD.sequence IS NOT NULL AND EXISTS (SELECT 1 FROM timeline_anchors AS anchor
        WHERE anchor.name = 'checkpoint' AND anchor.sequence >= OLD.sequence))"""
_BACKWARDS = "(NEW.sequence < OLD.sequence OR NEW.name <> OLD.name)"

_POSTGRESQL = (
    """CREATE FUNCTION timeline_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the timeline is append-only';
    END $$""",
    f"""CREATE FUNCTION timeline_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF {_MAY_GO} THEN RETURN OLD; END IF;
        ELSIF {_may_change("IS NOT DISTINCT FROM", "::text", "split_part(OLD.actor, ':', 2)")}
            THEN RETURN NEW;
        END IF;
        RAISE EXCEPTION 'the timeline is append-only';
    END $$""",
    # Writers pay for a condition only: no function is called for a row without a seal.
    """CREATE TRIGGER timeline_no_insert BEFORE INSERT ON timeline FOR EACH ROW
        WHEN (NEW.sequence IS NOT NULL) EXECUTE FUNCTION timeline_refuse()""",
    """CREATE TRIGGER timeline_no_update BEFORE UPDATE OR DELETE ON timeline FOR EACH ROW
        EXECUTE FUNCTION timeline_guard()""",
    "CREATE TRIGGER timeline_no_truncate BEFORE TRUNCATE ON timeline EXECUTE FUNCTION timeline_refuse()",
    f"""CREATE TRIGGER timeline_no_anchor_update BEFORE UPDATE ON timeline_anchors FOR EACH ROW
        WHEN {_BACKWARDS} EXECUTE FUNCTION timeline_refuse()""",
    """CREATE TRIGGER timeline_no_anchor_delete BEFORE DELETE ON timeline_anchors FOR EACH ROW
        EXECUTE FUNCTION timeline_refuse()""",
)

_REFUSE = "BEGIN SELECT RAISE(ABORT, 'the timeline is append-only'); END"
_SQLITE = (
    f"CREATE TRIGGER timeline_no_insert BEFORE INSERT ON timeline WHEN NEW.sequence IS NOT NULL {_REFUSE}",
    f"""CREATE TRIGGER timeline_no_update BEFORE UPDATE ON timeline
        WHEN NOT {_may_change("IS", "", "substr(OLD.actor, instr(OLD.actor, ':') + 1)")}
        {_REFUSE}""",
    f"CREATE TRIGGER timeline_no_delete BEFORE DELETE ON timeline WHEN NOT {_MAY_GO} {_REFUSE}",
    f"CREATE TRIGGER timeline_no_anchor_update BEFORE UPDATE ON timeline_anchors WHEN {_BACKWARDS} {_REFUSE}",
    f"CREATE TRIGGER timeline_no_anchor_delete BEFORE DELETE ON timeline_anchors {_REFUSE}",
)
