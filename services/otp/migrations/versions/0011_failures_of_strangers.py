"""Failures from browsers that the account does not know are a row of their own, which no success ends."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Whose failures the one row holds is not known, so the new row begins where it stands."""
    with op.batch_alter_table("verification_states", schema=None) as batch_op:
        batch_op.add_column(sa.Column("strangers_failures", sa.Integer(), server_default=sa.text("0"), nullable=False))
        batch_op.add_column(sa.Column("strangers_cleared_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE verification_states SET strangers_failures = consecutive_failures")


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("verification_states", schema=None) as batch_op:
        batch_op.drop_column("strangers_cleared_at")
        batch_op.drop_column("strangers_failures")
