"""The tables of otp."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    or_,
    text,
)

from shared.database import UtcDateTime
from shared.dialects import partial_index
from shared.outbox import outbox_tables
from shared.restores import restore_tables

metadata = MetaData()

PENDING, ACTIVE, REVOKED = "PENDING", "ACTIVE", "REVOKED"
TOTP = "TOTP"

authenticators = Table(
    "authenticators",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("account_id", String(80), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("label", String(128), nullable=False),
    Column("status", String(16), nullable=False),
    Column("key_id", String(32), nullable=True),
    Column("ciphertext", LargeBinary, nullable=True),
    Column("last_accepted_step", BigInteger, nullable=False),
    # Purpose and binding that the last step was accepted for, at last_used_at.
    Column("last_accepted_for", String(128), nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=True),
    Column("confirmed_at", UtcDateTime, nullable=True),
    Column("last_used_at", UtcDateTime, nullable=True),
    Column("revoked_at", UtcDateTime, nullable=True),
    # The reset that was asked for because it was stolen, or the restore that has voided that reset.
    Column("suspended_for", String(64), nullable=True),
    # When a backup code was last accepted in its place; the sheet with the spent code may be replaced.
    Column("recovery_code_used_at", UtcDateTime, nullable=True),
    # The session that began it (domain.session_id). No other session may confirm it, and it ends with that session.
    Column("session_id", String(80), nullable=True),
    CheckConstraint("status <> 'REVOKED' OR ciphertext IS NULL", name="ck_authenticators_revoked_has_no_secret"),
)


def begun_by(session_id: str) -> ColumnElement[bool]:
    """Whether this session began the authenticator, whichever token it had then. Takes the session's id alone."""
    begun = authenticators.c.session_id
    return or_(begun == session_id, begun.startswith(f"{session_id}.", autoescape=True))


Index("ix_authenticators_account", authenticators.c.account_id)
_sealed = authenticators.c.key_id.is_not(None)
# How many secrets a key holds, and which: for key rotation.
partial_index("ix_authenticators_key", authenticators.c.key_id, authenticators.c.id, where=_sealed)


def _one_per_account(status: str) -> Index:
    return partial_index(
        f"uq_authenticators_{status.lower()}",
        authenticators.c.account_id,
        authenticators.c.kind,
        where=authenticators.c.status == status,
        unique=True,
    )


# The database itself holds that an account has one active authenticator of a kind, and one that waits.
_one_per_account(ACTIVE)
_one_per_account(PENDING)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    # An id of its own: a claim on an old sheet must not spend the new sheet's code of the same number.
    Column("id", String(64), primary_key=True),
    Column("account_id", String(80), nullable=False),
    Column("selector", String(1), nullable=False),
    Column("hash", String(160), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("spent_at", UtcDateTime, nullable=True),
    Column("spent_for", String(128), nullable=True),  # purpose and binding
    UniqueConstraint("account_id", "selector", name="uq_recovery_codes_account_selector"),
)

verification_states = Table(
    "verification_states",
    metadata,
    Column("account_id", String(80), primary_key=True),
    Column("consecutive_failures", Integer, nullable=False),
    # When codes were first refused to strangers, and when to everybody; told to the owner at that moment.
    Column("locked_at", UtcDateTime, nullable=True),
    Column("locked_everywhere_at", UtcDateTime, nullable=True),
    # What support's unlocks took off the row since the last success; together they lift no hundred.
    Column("failures_lifted", Integer, nullable=False, server_default=text("0")),
    # When support or a reset last set the count to zero; what happened before no longer counts.
    Column("cleared_at", UtcDateTime, nullable=True),
    # The same two of the failures from browsers that the account does not know.
    Column("strangers_failures", Integer, nullable=False, server_default=text("0")),
    Column("strangers_cleared_at", UtcDateTime, nullable=True),
)

attempts = Table(
    "attempts",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("account_id", String(80), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("factor", String(16), nullable=True),
    Column("outcome", String(16), nullable=False),
    Column("reason", String(32), nullable=True),
    Column("clock_skew_seconds", Integer, nullable=True),
    Column("device_known", Boolean, nullable=False),
    # The end of the wait that a throttled try met; a hard stop has none.
    Column("throttled_until", UtcDateTime, nullable=True),
    # The login challenge that the code answered; null for every other purpose.
    Column("challenge_id", String(80), nullable=True),
)
Index("ix_attempts_account", attempts.c.account_id, attempts.c.position)

# Sessions of auth that have ended: what they ordered and is still on its way is refused. Kept for a day.
ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("session_id", String(80), primary_key=True),
    Column("ended_at", UtcDateTime, nullable=False),
)
Index("ix_ended_sessions_ended_at", ended_sessions.c.ended_at)

outbox = outbox_tables(metadata)
RESTORES = restore_tables(metadata)
