"""An authenticator may be suspended for a reset, because it was stolen."""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table('authenticators', schema=None) as batch_op:
        batch_op.add_column(sa.Column('suspended_for', sa.String(length=64), nullable=True))


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table('authenticators', schema=None) as batch_op:
        batch_op.drop_column('suspended_for')
