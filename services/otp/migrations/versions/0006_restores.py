"""What a restore from a backup leaves behind: its row, and its findings."""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        'restores',
        sa.Column('id', sa.String(length=40), nullable=False),
        sa.Column('backup_taken_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('begun_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('options', sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint('id'),
        sa.UniqueConstraint('backup_taken_at'),
    )
    op.create_table(
        'restore_findings',
        sa.Column('restore_id', sa.String(length=40), nullable=False),
        sa.Column('account_id', sa.String(length=80), nullable=False),
        sa.Column('kind', sa.String(length=40), nullable=False),
        sa.Column('details', sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint('restore_id', 'account_id', 'kind'),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table('restore_findings')
    op.drop_table('restores')
