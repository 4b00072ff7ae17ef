"""accounts.language is the language that the account's notices, texts and calls are in.

It is null for the existing accounts: their notices stay English until a language is chosen or 2FA is enrolled anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("language", sa.String(length=8), nullable=True))


def downgrade() -> None:
    # Not in a batch: on SQLite that would recreate the table, and other tables refer to it.
    op.drop_column("accounts", "language")
