"""An address with a domain in Unicode is kept under its A-labels, so both spellings are one account.

Two accounts of one address, one made in each spelling, cannot both have the key. An account that has the key already
keeps it, because browsers send A-labels; else the older account gets it. The other account keeps its old key, which no
sign-in looks up, and the log names both. README, "Runbook", has the query and the repair.
"""

from collections.abc import Callable
from unicodedata import normalize

import sqlalchemy as sa
import structlog
from alembic import op

from shared.email_address import email_key

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

log = structlog.get_logger("auth.migrations")
_accounts = sa.table("accounts", *(sa.column(name) for name in ("id", "email", "email_key", "created_at")))


def upgrade() -> None:
    _give_keys(email_key)


def downgrade() -> None:
    _give_keys(lambda email: normalize("NFKC", email.strip()).casefold())


def _give_keys(rule: Callable[[str], str]) -> None:
    connection = op.get_bind()
    query = sa.select(_accounts.c.id, _accounts.c.email, _accounts.c.email_key)
    rows = connection.execute(query.order_by(_accounts.c.created_at, _accounts.c.id))
    # The rules differ where an address is not ASCII, and nowhere else.
    changed = [(row.id, rule(row.email)) for row in rows if not row.email.isascii() and row.email_key != rule(row.email)]
    for account_id, key in changed:
        other = connection.execute(sa.select(_accounts.c.id).where(_accounts.c.email_key == key)).scalar()
        if other is not None:
            log.warning("two accounts of one address", account_id=account_id, signs_in=other)
            continue
        connection.execute(sa.update(_accounts).where(_accounts.c.id == account_id).values(email_key=key))
