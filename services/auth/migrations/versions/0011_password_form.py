"""accounts.password_form says which form of the password its hash was made of.

It is null for the existing hashes, which were made of what was typed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("password_form", sa.String(length=200), nullable=True))


def downgrade() -> None:
    # In no batch, which would make the table anew on SQLite: other tables refer to it.
    op.drop_column("accounts", "password_form")
