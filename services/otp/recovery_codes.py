"""Sheets of recovery codes: taken from the stock, and made anew on demand."""

from sqlalchemy import Connection

from services.otp import answer_store, recovery_code_store, sessions_store, store
from services.otp.answer_store import Answer, Call
from services.otp.deps import Deps
from services.otp.limits import REGENERATE_CODES
from services.otp.models import outbox as outbox_tables
from services.otp.sheet_stock import HashedSheet, hashed_sheet
from shared import budgets, outbox
from shared.budgets import Charge
from shared.database import reading, writing
from shared.deadline import require_time
from shared.ids import new_id
from shared.messages import RecoveryCodesRegenerated
from shared.problems import Refusal


def regenerate(deps: Deps, account_id: str, session_id: str | None = None, call: Call | None = None) -> list[str]:
    """Make a new sheet; the old codes die. With a ``call``, its repeat within a minute has the same sheet.

    A repeat that arrives after a newer sheet makes no sheet. Raises two_factor_off, session_ended, answer_replaced,
    too_many_requests. A call that ends in 503 is given back.
    """
    with reading(deps.database) as connection:
        if not store.is_on(connection, account_id):
            raise Refusal("two_factor_off")
        if (codes := _told_before(deps, connection, call)) is not None:
            return codes
    charge = Charge(REGENERATE_CODES, account_id)
    budgets.take(deps.redis, charge).require()
    with budgets.given_back_on_outage(deps.redis, charge):
        return _regenerate(deps, account_id, session_id, call, charge)


def _regenerate(deps: Deps, account_id: str, session_id: str | None, call: Call | None, charge: Charge) -> list[str]:
    # Outside the transaction, because it may wait for a sheet.
    sheet = deps.sheets.take_spare() or hashed_sheet(deps.hashing)
    try:
        return _replace(deps, account_id, session_id, call, charge, sheet)
    except Refusal:
        deps.sheets.give_back(sheet)  # nobody has seen it
        raise


def _replace(
    deps: Deps, account_id: str, session_id: str | None, call: Call | None, charge: Charge, sheet: HashedSheet
) -> list[str]:
    now = deps.clock()
    with writing(deps.database) as connection:
        sessions_store.hold(connection, account_id, session_id)
        # Again, and held: 2FA may have been turned off while the hashes were made.
        if not store.is_on(connection, account_id, hold=True):
            raise Refusal("two_factor_off")
        # Again as well: the same call may have come twice at once.
        if (codes := _told_before(deps, connection, call)) is not None:
            budgets.refund(deps.redis, charge)
            deps.sheets.give_back(sheet)
            return codes
        replaced = recovery_code_store.sheet_of(connection, account_id)
        sheet_id = recovery_code_store.replace_recovery_codes(connection, account_id, sheet, now)
        event = RecoveryCodesRegenerated(id=new_id("evt"), occurred_at=now, account_id=account_id)
        outbox.record(connection, outbox_tables, event, deps.signer)
        codes = [code.format() for code, _ in sheet]
        if call is not None:
            # Kept before the commit, so while Redis is down no sheet is made whose call could not be repeated.
            answer_store.keep(deps.redis, deps.secret_box, call, Answer(sheet_id, tuple(codes), replaced), now)
        require_time()
    return codes


def answered(deps: Deps, connection: Connection, call: Call | None) -> list[str] | None:
    """The sheet that this call got a moment ago, if it is still the account's sheet."""
    answer = _kept(deps, call)
    return None if call is None or answer is None else _standing(connection, call, answer)


def _told_before(deps: Deps, connection: Connection, call: Call | None) -> list[str] | None:
    """The sheet that this call got a moment ago, or None. Raises answer_replaced when a newer sheet has replaced it.

    The answer is kept before the commit. While the sheet that it replaces stands, the change was not committed, and
    the answer does not count.
    """
    answer = _kept(deps, call)
    if call is None or answer is None or recovery_code_store.sheet_of(connection, call.account_id) == answer.replaced:
        return None
    if (codes := _standing(connection, call, answer)) is None:
        raise Refusal("answer_replaced")
    return codes


def _kept(deps: Deps, call: Call | None) -> Answer | None:
    return None if call is None else answer_store.find(deps.redis, deps.secret_box, call, deps.clock())


def _standing(connection: Connection, call: Call, answer: Answer) -> list[str] | None:
    if answer.sheet_id is None or not recovery_code_store.sheet_stands(connection, call.account_id, answer.sheet_id):
        return None
    return list(answer.recovery_codes)
