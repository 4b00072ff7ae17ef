"""How many failures of the row support has lifted: its unlocks together lift no hundred in a row."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("verification_states", schema=None) as batch_op:
        batch_op.add_column(sa.Column("failures_lifted", sa.Integer(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("verification_states", schema=None) as batch_op:
        batch_op.drop_column("failures_lifted")
