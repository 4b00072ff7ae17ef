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
from shared.restores import restore_tables

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
BOX = outbox_tables(metadata)
RESTORES = restore_tables(metadata)

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
    Column(
        "email_key", String(254), nullable=False, unique=True
    ),  # shared.email_address.email_key: one account an address
    Column("name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    Column("password_hash", String(200), nullable=False),
    # "prepared" and the salt of password_hash, where that is the hash of the prepared form (password_form.py). Null, or
    # another hash's salt: it was made of what was typed.
    Column("password_form", String(200), nullable=True),
    Column("password_changed_at", UtcDateTime, nullable=False),
    Column("phone", String(16), nullable=True),  # proven; the only number that login codes go to
    Column("phone_verified_at", UtcDateTime, nullable=True),
    Column("pending_phone", String(16), nullable=True),
    # What the proving SMS code is bound to: the session that requested it, a dot, and random digits. Without a dot: the
    # number was set by the team's owner and no code requested yet, or an earlier release stored it.
    Column("pending_phone_binding", String(40), nullable=True),
    Column("enrollment_prompted", Boolean, nullable=False, server_default=text("false")),
    Column("language", String(8), nullable=True),  # a tag of shared/texts/languages.py; null until chosen or enrolled
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
    Column(
        "won_by", String(16), nullable=True
    ),  # the factor of the login that made it; null: made by an earlier release
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
    Column("approvals_needed", Integer, nullable=False),
    Column("cool_off_seconds", Integer, nullable=False),
    Column("reason_kind", String(10), nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("authenticators", JSON, nullable=False),  # the ids that are removed; no other is
    Column("requested_by", String(40), ForeignKey("accounts.id"), nullable=True),  # null: the command line
    Column("approved_by", String(40), nullable=True),
    Column("second_approved_by", String(40), nullable=True),
    Column("cancelled_by", String(40), nullable=True),
    Column("ended_because", String(30), nullable=True),
    Column("enrollment_word_id", String(40), nullable=True),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("approval_ends_at", UtcDateTime, nullable=True),
    Column("cool_off_ends_at", UtcDateTime, nullable=True),
    Column("approved_at", UtcDateTime, nullable=True),
    Column("applied_at", UtcDateTime, nullable=True),
    Column("cancelled_at", UtcDateTime, nullable=True),
)
# One open reset an account, whatever two operators do at once.
partial_index("uq_two_factor_resets_open", resets.c.account_id, where=resets.c.status.in_(OPEN_STATUSES), unique=True)

enrollment_words = Table(
    "enrollment_words",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("digest", String(64), nullable=False),  # keyed; three words alone could be guessed from an unkeyed one
    Column("issued_at", UtcDateTime, nullable=False),
    Column("usable_from", UtcDateTime, nullable=True),  # null: its reset is not applied yet
    Column("attempts", Integer, nullable=False),
    Column("spent_at", UtcDateTime, nullable=True),
    Column("spent_by", String(40), nullable=True),  # the session that used it last
)

# Those that wait for a second operator; one operator's own leaves an entry in the timeline only. A restore voids what
# waits: such a row has a time of approval and no approver.
unlocks = Table(
    "unlocks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("ticket", String(100), nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("requested_by", String(40), ForeignKey("accounts.id"), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("approved_by", String(40), nullable=True),
    Column("approved_at", UtcDateTime, nullable=True),
)

identity_checks = Table(
    "identity_checks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("operator_id", String(40), ForeignKey("accounts.id"), nullable=False),
    Column("check", String(20), nullable=False),
    Column("status", String(10), nullable=False),
    Column("words_digest", String(64), nullable=True),
    Column("link_digest", String(64), nullable=True, unique=True),
    Column("tries", Integer, nullable=False),
    Column("evidence", String(1000), nullable=True),
    Column("confirmed_by", String(40), nullable=True),  # the other owner who answered
    Column("begun_at", UtcDateTime, nullable=False),
    Column("passed_at", UtcDateTime, nullable=True),
    Column("reset_id", String(40), nullable=True),  # the one reset that it was used for
)

# The links in the notices: each cancels one reset, or the checks that would lead to one.
cancel_links = Table(
    "cancel_links",
    metadata,
    Column("token_digest", String(64), primary_key=True),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("reset_id", String(40), nullable=True),
    Column("check_id", String(40), nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
)

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

notice_series = Table(
    "notice_series",
    metadata,
    Column("account_id", String(40), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),  # of recipient and text without its time (notices.py)
    Column("times", Integer, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("position", BigInteger, nullable=True),  # in the outbox, of the notice for all of them
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

timeline_restores = Table(
    "timeline_restores",
    metadata,
    Column("sequence", BigInteger, nullable=False),
    Column("mac", String(80), nullable=False),
    Column("backup_ended_at", BigInteger, nullable=False),
    Column("resumes_at", BigInteger, primary_key=True, autoincrement=False),
    Column("backup_taken_at", UtcDateTime, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("signature", String(80), nullable=False),
)
