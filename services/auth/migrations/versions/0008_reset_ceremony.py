"""The ceremony of a reset: identity checks, approvals that lapse, named authenticators, a link in each notice."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply. A reset that waits rests on checks that were ticked and names no authenticator, so it ends here."""
    op.create_table(
        "identity_checks",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("account_id", sa.String(40), nullable=False),
        sa.Column("operator_id", sa.String(40), nullable=False),
        sa.Column("check", sa.String(20), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("words_digest", sa.String(64), nullable=True),
        sa.Column("link_digest", sa.String(64), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("evidence", sa.String(1000), nullable=True),
        sa.Column("confirmed_by", sa.String(40), nullable=True),
        sa.Column("begun_at", _TIME, nullable=False),
        sa.Column("passed_at", _TIME, nullable=True),
        sa.Column("reset_id", sa.String(40), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_identity_checks_account_id")),
        sa.ForeignKeyConstraint(["operator_id"], ["accounts.id"], name=op.f("fk_identity_checks_operator_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_checks")),
        sa.UniqueConstraint("link_digest", name=op.f("uq_identity_checks_link_digest")),
    )
    op.create_index(op.f("ix_identity_checks_account_id"), "identity_checks", ["account_id"])
    op.create_table(
        "cancel_links",
        sa.Column("token_digest", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(40), nullable=False),
        sa.Column("reset_id", sa.String(40), nullable=True),
        sa.Column("check_id", sa.String(40), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_cancel_links_account_id")),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_cancel_links")),
    )
    op.create_index(op.f("ix_cancel_links_account_id"), "cancel_links", ["account_id"])
    op.execute(
        "INSERT INTO cancel_links (token_digest, account_id, reset_id, created_at) "
        "SELECT cancel_token_digest, account_id, id, requested_at FROM two_factor_resets"
    )
    with op.batch_alter_table("two_factor_resets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("approvals_needed", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("cool_off_seconds", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("reason_kind", sa.String(10), nullable=False, server_default="lost"))
        batch_op.add_column(sa.Column("evidence", sa.JSON(), nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("authenticators", sa.JSON(), nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("second_approved_by", sa.String(40), nullable=True))
        batch_op.add_column(sa.Column("ended_because", sa.String(30), nullable=True))
        batch_op.add_column(sa.Column("enrollment_word_id", sa.String(40), nullable=True))
        batch_op.add_column(sa.Column("approval_ends_at", _TIME, nullable=True))
        batch_op.alter_column("requested_by", existing_type=sa.String(40), nullable=True)
    op.execute(
        "UPDATE two_factor_resets SET status = 'ended', ended_because = 'checks_no_longer_hold' "
        "WHERE status IN ('awaiting_approval', 'cooling_off')"
    )
    op.execute("UPDATE two_factor_resets SET approvals_needed = 1 WHERE needs_second_operator")
    op.execute("UPDATE two_factor_resets SET cool_off_seconds = 86400 WHERE path = 'cool_off'")
    with op.batch_alter_table("two_factor_resets", schema=None) as batch_op:
        for column in ("approvals_needed", "cool_off_seconds", "reason_kind", "evidence", "authenticators"):
            batch_op.alter_column(column, server_default=None)
        batch_op.drop_constraint("uq_two_factor_resets_cancel_token_digest", type_="unique")
        batch_op.drop_column("cancel_token_digest")
        batch_op.drop_column("needs_second_operator")


def downgrade() -> None:
    """Take back. Links of resets stop working, and resets of the command line are forgotten."""
    op.execute("DELETE FROM two_factor_resets WHERE requested_by IS NULL")
    op.execute("UPDATE two_factor_resets SET status = 'cancelled' WHERE status = 'ended'")
    with op.batch_alter_table("two_factor_resets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cancel_token_digest", sa.String(64), nullable=True))
        batch_op.add_column(sa.Column("needs_second_operator", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE two_factor_resets SET cancel_token_digest = id, needs_second_operator = (approvals_needed > 0)")
    with op.batch_alter_table("two_factor_resets", schema=None) as batch_op:
        batch_op.alter_column("cancel_token_digest", existing_type=sa.String(64), nullable=False)
        batch_op.create_unique_constraint("uq_two_factor_resets_cancel_token_digest", ["cancel_token_digest"])
        batch_op.alter_column("needs_second_operator", server_default=None)
        batch_op.alter_column("requested_by", existing_type=sa.String(40), nullable=False)
        for column in (
            "approvals_needed",
            "cool_off_seconds",
            "reason_kind",
            "evidence",
            "authenticators",
            "second_approved_by",
            "ended_because",
            "enrollment_word_id",
            "approval_ends_at",
        ):
            batch_op.drop_column(column)
    op.drop_table("cancel_links")
    op.drop_table("identity_checks")
