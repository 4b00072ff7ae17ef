"""What a restore from a backup leaves behind: its row, its findings, and where the audit chain went on."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "restores",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("backup_taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restores")),
        sa.UniqueConstraint("backup_taken_at", name=op.f("uq_restores_backup_taken_at")),
    )
    op.create_table(
        "restore_findings",
        sa.Column("restore_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("restore_id", "account_id", "kind", name=op.f("pk_restore_findings")),
    )
    op.create_table(
        "timeline_restores",
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.String(length=80), nullable=False),
        sa.Column("backup_ended_at", sa.BigInteger(), nullable=False),
        sa.Column("resumes_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("backup_taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("signature", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("resumes_at", name=op.f("pk_timeline_restores")),
    )


def downgrade() -> None:
    op.drop_table("timeline_restores")
    op.drop_table("restore_findings")
    op.drop_table("restores")
