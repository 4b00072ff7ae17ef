"""What a code was used up for, so that a repeated request is told from a replayed code."""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table('authenticators', schema=None) as batch_op:
        batch_op.add_column(sa.Column('last_accepted_for', sa.String(length=128), nullable=True))

    with op.batch_alter_table('recovery_codes', schema=None) as batch_op:
        batch_op.add_column(sa.Column('spent_for', sa.String(length=128), nullable=True))


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table('recovery_codes', schema=None) as batch_op:
        batch_op.drop_column('spent_for')

    with op.batch_alter_table('authenticators', schema=None) as batch_op:
        batch_op.drop_column('last_accepted_for')
