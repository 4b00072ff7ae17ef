"""A pending enrollment knows its session, and otp knows which sessions have ended."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("authenticators", schema=None) as batch_op:
        batch_op.add_column(sa.Column("session_id", sa.String(length=80), nullable=True))
    op.create_table(
        "ended_sessions",
        sa.Column("session_id", sa.String(length=80), primary_key=True, nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_ended_sessions_ended_at", "ended_sessions", ["ended_at"])


def downgrade() -> None:
    op.drop_table("ended_sessions")
    with op.batch_alter_table("authenticators", schema=None) as batch_op:
        batch_op.drop_column("session_id")
