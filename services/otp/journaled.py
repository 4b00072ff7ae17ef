"""Which changes of an account's 2FA go to otp's security journal, how it stands in it, and how it is put back.

A spent backup code is a line of its own, because codes are spent in parallel. A code that any line knows as spent is
spent.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, update

from services.otp.models import ACTIVE, REVOKED, authenticators, recovery_codes
from shared import journaling
from shared.clock import Clock
from shared.dialects import insert_for
from shared.journal import Entry, Journal
from shared.messages import (
    AuthenticatorEnrolled,
    AuthenticatorsReinstated,
    AuthenticatorsSuspended,
    RecoveryCodeSpent,
    RecoveryCodesRegenerated,
    TwoFactorDisabled,
    TwoFactorResetApplied,
)

IMPORTED = "authenticator.imported"  # by the command line; no event tells of it
STATES = frozenset(
    {
        IMPORTED,
        AuthenticatorEnrolled.TYPE,
        TwoFactorDisabled.TYPE,
        RecoveryCodesRegenerated.TYPE,
        TwoFactorResetApplied.TYPE,
        AuthenticatorsSuspended.TYPE,
        AuthenticatorsReinstated.TYPE,
    }
)
SPENT = RecoveryCodeSpent.TYPE
JOURNALED = STATES | {SPENT}

_a, _r = authenticators.c, recovery_codes.c


def keep(engine: Engine, journal: Journal | None, clock: Clock) -> None:
    """Attach the journal, if there is one, to this engine's transactions."""
    journaling.keep(engine, journal, JOURNALED, _state, clock)


def put_back(connection: Connection, entry: Entry) -> None:
    """Make the account's 2FA what it was after this entry. A second call changes nothing more."""
    if entry.kind == SPENT:
        _spend(connection, entry.state["spent"], entry.at)
    else:
        _put(connection, entry)


def _state(connection: Connection, account_id: str, kind: str) -> Mapping[str, Any]:
    codes = connection.execute(select(recovery_codes).where(_r.account_id == account_id)).all()
    if kind == SPENT:
        return {"spent": [row.id for row in codes if row.spent_at is not None]}
    # Each of these has written to the authenticator in its own transaction, or held it: that orders them.
    rows = connection.execute(select(authenticators).where(_a.account_id == account_id, _a.status != "PENDING"))
    return {
        "authenticators": [journaling.dump_row(row) for row in rows],
        "recovery_codes": [journaling.dump_row(row) for row in codes],
    }


def _put(connection: Connection, entry: Entry) -> None:
    now_active = []
    for document in entry.state["authenticators"]:
        row = journaling.load_row(document, authenticators.c.keys())
        if row["status"] == ACTIVE:
            now_active.append(row)
        else:
            _put_row(connection, row)
    # What the backup holds and the journal does not know as active was turned off in between.
    stale = (_a.account_id == entry.account_id, _a.status == ACTIVE, _a.id.not_in([row["id"] for row in now_active]))
    revoked = {"status": REVOKED, "revoked_at": entry.at, "key_id": None, "ciphertext": None}
    connection.execute(update(authenticators).where(*stale).values(revoked))
    for row in now_active:
        _put_row(connection, row)
    codes = [journaling.load_row(document, recovery_codes.c.keys()) for document in entry.state["recovery_codes"]]
    others = (_r.account_id == entry.account_id, _r.id.not_in([code["id"] for code in codes]))
    connection.execute(delete(recovery_codes).where(*others))
    for code in codes:
        put = insert_for(connection, recovery_codes).values(code)
        connection.execute(put.on_conflict_do_nothing())
    _spend(connection, [code["id"] for code in codes if code["spent_at"] is not None], entry.at)


def _put_row(connection: Connection, row: Mapping[str, Any]) -> None:
    """Never with an older step than the database has: a step that was used stays used."""
    put = insert_for(connection, authenticators).values(row)
    kept = {**row}
    del kept["last_accepted_step"], kept["last_accepted_for"]
    connection.execute(put.on_conflict_do_update(index_elements=[_a.id], set_=kept))


def _spend(connection: Connection, code_ids: Iterable[str], at: datetime) -> None:
    spend = update(recovery_codes).where(_r.id.in_(list(code_ids)), _r.spent_at.is_(None))
    connection.execute(spend.values(spent_at=at, spent_for=None))
