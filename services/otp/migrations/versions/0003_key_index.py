"""How many secrets a key holds, and which, without reading the table."""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table('authenticators', schema=None) as batch_op:
        batch_op.create_index('ix_authenticators_key', ['key_id', 'id'], unique=False, sqlite_where=sa.text('key_id IS NOT NULL'), postgresql_where=sa.text('key_id IS NOT NULL'))


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table('authenticators', schema=None) as batch_op:
        batch_op.drop_index('ix_authenticators_key', sqlite_where=sa.text('key_id IS NOT NULL'), postgresql_where=sa.text('key_id IS NOT NULL'))
