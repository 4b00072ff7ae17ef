"""When codes were refused to everybody, the owner's own browsers too."""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Whoever was locked so far was locked everywhere, and has been told."""
    with op.batch_alter_table('verification_states', schema=None) as batch_op:
        batch_op.add_column(sa.Column('locked_everywhere_at', sa.DateTime(timezone=True), nullable=True))
    op.execute('UPDATE verification_states SET locked_everywhere_at = locked_at')


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table('verification_states', schema=None) as batch_op:
        batch_op.drop_column('locked_everywhere_at')
