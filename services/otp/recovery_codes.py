"""Sheets of recovery codes: made, hashed, and made anew on demand."""

from services.otp import store
from services.otp.deps import Deps
from services.otp.domain.recovery_code import RecoveryCode, new_sheet
from services.otp.models import outbox as outbox_tables
from shared import outbox
from shared.database import reading, writing
from shared.ids import new_id
from shared.messages import RecoveryCodesRegenerated
from shared.problems import Refusal


def new_hashed_sheet(deps: Deps) -> list[tuple[RecoveryCode, str]]:
    """Ten codes with their argon2id hashes (ASVS 6.5.2), outside any transaction: it takes tenths of a second.

    Raises Unavailable when the hashing pool is full.
    """
    sheet = new_sheet()
    return list(zip(sheet, deps.hashing.hash_many([code.secret for code in sheet]), strict=True))


def regenerate(deps: Deps, account_id: str) -> list[str]:
    """A new sheet, shown this once; the old codes die. Raises two_factor_off."""
    with reading(deps.database) as connection:
        if not store.is_on(connection, account_id):
            raise Refusal("two_factor_off")
    sheet = new_hashed_sheet(deps)
    now = deps.clock()
    with writing(deps.database) as connection:
        # Again, and held: 2FA may have been turned off while the hashes were made.
        if not store.is_on(connection, account_id, hold=True):
            raise Refusal("two_factor_off")
        store.replace_recovery_codes(connection, account_id, sheet, now)
        event = RecoveryCodesRegenerated(id=new_id("evt"), occurred_at=now, account_id=account_id)
        outbox.record(connection, outbox_tables, event)
    return [code.format() for code, _ in sheet]
