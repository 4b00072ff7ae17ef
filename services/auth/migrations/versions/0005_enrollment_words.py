"""One-time words that let an account without a second factor enrol one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "enrollment_words",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("usable_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("spent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("spent_by", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_enrollment_words_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrollment_words")),
    )
    op.create_index(op.f("ix_enrollment_words_account_id"), "enrollment_words", ["account_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_enrollment_words_account_id"), table_name="enrollment_words")
    op.drop_table("enrollment_words")
