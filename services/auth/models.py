"""The tables that auth owns."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

from services.auth.domain.reset import OPEN_STATUSES
from shared.database import UtcDateTime
from shared.dialects import partial_index
from shared.outbox import outbox_tables

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
BOX = outbox_tables(metadata)

teams = Table(
    "teams",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("team_id", String(40), ForeignKey("teams.id"), nullable=False, index=True),
    Column("email", String(254), nullable=False),
    Column("email_key", String(254), nullable=False, unique=True),  # domain.account.email_key: one account an address
    Column("name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    Column("password_hash", String(200), nullable=False),
    Column("password_changed_at", UtcDateTime, nullable=False),
    Column("phone", String(16), nullable=True),  # proven; the only number that login codes go to
    Column("phone_verified_at", UtcDateTime, nullable=True),
    Column("pending_phone", String(16), nullable=True),
    Column("pending_phone_binding", String(40), nullable=True),  # what the proving SMS code is bound to
    Column("enrollment_prompted", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", UtcDateTime, nullable=False),
)

devices = Table(
    "devices",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("token_digest", String(64), nullable=False, unique=True),
    Column("label", String(200), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime, nullable=False),
    Column("trusted_until", UtcDateTime, nullable=True),  # null: known (its own budgets), but never skips the code
    Column("revoked_at", UtcDateTime, nullable=True),
)

resets = Table(
    "two_factor_resets",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("status", String(20), nullable=False),
    Column("ticket", String(100), nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("identity_checks", JSON, nullable=False),
    # As the policy stood when it was asked for: a later change of the table changes no reset under way.
    Column("rule", String(60), nullable=False),
    Column("path", String(20), nullable=False),
    Column("needs_second_operator", Boolean, nullable=False),
    Column("requested_by", String(40), ForeignKey("accounts.id"), nullable=False),
    Column("approved_by", String(40), nullable=True),
    Column("cancelled_by", String(40), nullable=True),
    Column("cancel_token_digest", String(64), nullable=False, unique=True),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("cool_off_ends_at", UtcDateTime, nullable=True),
    Column("approved_at", UtcDateTime, nullable=True),
    Column("applied_at", UtcDateTime, nullable=True),
    Column("cancelled_at", UtcDateTime, nullable=True),
)
# One open reset an account, whatever two operators do at once.
partial_index("uq_two_factor_resets_open", resets.c.account_id, where=resets.c.status.in_(OPEN_STATUSES), unique=True)

timeline = Table(
    "timeline",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=True),  # null: an address that nobody has
    Column("at", UtcDateTime, nullable=False),
    Column("type", String(60), nullable=False),
    Column("actor", String(60), nullable=False),
    Column("details", JSON, nullable=False),
    # The personal part: with its salt the only thing in a sealed row that may go (domain.chain).
    Column("ip", String(45), nullable=True),
    Column("personal", JSON(none_as_null=True), nullable=True),
    # The seal; the worker puts it on within seconds. From then on the database's triggers keep the row as it is.
    Column("sequence", BigInteger, nullable=True),
    Column("sealed_at", UtcDateTime, nullable=True),
    Column("salt", String(32), nullable=True),
    Column("commitment", String(64), nullable=True),
    Column("key_id", String(32), nullable=True),
    Column("mac", String(80), nullable=True),
    UniqueConstraint("id"),
)
Index("ix_timeline_account_id_position", timeline.c.account_id, timeline.c.position)
Index("uq_timeline_sequence", timeline.c.sequence, unique=True)
UNSEALED = timeline.c.sequence.is_(None)
partial_index("ix_timeline_unsealed", timeline.c.position, where=UNSEALED)
# Support's own trail through all accounts. The condition is spelled as the query spells it, or no planner would use it.
BY_OPERATORS = text("actor LIKE 'operator:%'")
partial_index("ix_timeline_operators", timeline.c.position, where=BY_OPERATORS)

timeline_anchors = Table(
    "timeline_anchors",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("mac", String(80), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("signature", String(80), nullable=False),
)

timeline_erasures = Table(
    "timeline_erasures",
    metadata,
    Column("account_id", String(40), primary_key=True),
    Column("through", BigInteger, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("signature", String(80), nullable=False),
)
