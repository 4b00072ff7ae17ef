"""The timeline may hold what concerns no account: a refused login at an address that nobody has."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with _triggers_kept(), op.batch_alter_table("timeline", schema=None) as batch_op:
        batch_op.alter_column("account_id", existing_type=sa.String(length=40), nullable=True)


def downgrade() -> None:
    """Refused by the database while such rows are there: pruning is what may delete them."""
    with _triggers_kept(), op.batch_alter_table("timeline", schema=None) as batch_op:
        batch_op.alter_column("account_id", existing_type=sa.String(length=40), nullable=False)


@contextmanager
def _triggers_kept() -> Iterator[None]:
    """SQLite makes the table anew, and its triggers go with the old one."""
    connection = op.get_bind()
    triggers: list[str] = []
    if connection.dialect.name == "sqlite":
        found = sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'timeline'")
        triggers = list(connection.execute(found).scalars())
    yield
    for trigger in triggers:
        connection.exec_driver_sql(trigger)
