"""Which changes of an account go to auth's security journal, how an account stands in it, and how it is put back."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import IntegrityError

from services.auth.domain.account import Role
from services.auth.enrollment_words import PROMOTION
from services.auth.models import accounts, teams
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared import journaling
from shared.clock import Clock
from shared.dialects import insert_for
from shared.email_address import email_key
from shared.journal import Entry as JournalEntry
from shared.journal import Journal

ACCOUNT_CREATED = "account.created"  # the timeline has no such entry

# Every change that a restored database must not forget. Sessions, logins and trust end in a restore anyway.
JOURNALED = frozenset(
    {
        ACCOUNT_CREATED,
        Entry.PASSWORD_CHANGED,
        Entry.TWO_FACTOR_ENABLED,
        Entry.TWO_FACTOR_DISABLED,
        Entry.RESET_APPLIED,
        Entry.PHONE_CHANGED,
        Entry.PHONE_REMOVED,
        Entry.ROLE_CHANGED,
        Entry.PERSONAL_DATA_ERASED,
    }
)


def keep(engine: Engine, journal: Journal | None, clock: Clock) -> None:
    """Attach the journal, if there is one, to this engine's transactions."""
    journaling.keep(engine, journal, JOURNALED, _state, clock)


def put_back(connection: Connection, entry: JournalEntry) -> bool:
    """Make the account what it was after this entry, and put the entry into its timeline again.

    A second call changes nothing more. False when another account of the restored database has this account's address.
    """
    state = entry.state
    if "account" in state:
        try:
            with connection.begin_nested():
                _put(connection, state)
        except IntegrityError:
            return False
    if entry.kind != ACCOUNT_CREATED and not timeline.stands(connection, entry.account_id, entry.kind, entry.at):
        kind = Entry(entry.kind)
        facts: dict[str, Any] = {PROMOTION: True} if kind is Entry.ROLE_CHANGED and _is_promotion(state) else {}
        timeline.write(connection, entry.account_id, kind, entry.at, actor=entry.actor, from_journal=True, **facts)
    return True


def _is_promotion(state: Mapping[str, Any]) -> bool:
    """Whether this state of an account was left by a promotion, which sets the prompt to enrol."""
    account = state.get("account", {})
    return account.get("role") == Role.SUPPORT and account.get("enrollment_prompted") is True


def _state(connection: Connection, account_id: str, kind: str) -> Mapping[str, Any]:
    """The account's row and its team's; the row is locked, so that lines stand in the order of the commits."""
    if kind == Entry.PERSONAL_DATA_ERASED:
        return {}
    account = connection.execute(select(accounts).where(accounts.c.id == account_id).with_for_update()).one_or_none()
    if account is None:
        return {}
    team = connection.execute(select(teams).where(teams.c.id == account.team_id)).one()
    return {"account": journaling.dump_row(account), "team": journaling.dump_row(team)}


def _put(connection: Connection, state: Mapping[str, Any]) -> None:
    team = journaling.load_row(state["team"], teams.c.keys())
    account = journaling.load_row(state["account"], accounts.c.keys())
    account["email_key"] = email_key(account["email"])  # an earlier release had another rule
    connection.execute(insert_for(connection, teams).values(team).on_conflict_do_nothing())
    put = insert_for(connection, accounts).values(account)
    connection.execute(put.on_conflict_do_update(index_elements=[accounts.c.id], set_=account))
