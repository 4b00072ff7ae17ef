"""An index for what operators did, through all accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BY_OPERATORS = sa.text("actor LIKE 'operator:%'")


def upgrade() -> None:
    with op.batch_alter_table("timeline", schema=None) as batch_op:
        batch_op.create_index(
            "ix_timeline_operators", ["position"], sqlite_where=BY_OPERATORS, postgresql_where=BY_OPERATORS
        )


def downgrade() -> None:
    with op.batch_alter_table("timeline", schema=None) as batch_op:
        batch_op.drop_index("ix_timeline_operators")
