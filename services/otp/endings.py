"""What ends in otp because of a change in auth.

Texted codes, pending enrollments, calls of ended sessions, and the failures in a row of strangers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from services.otp import attempts_store, older_key_store, sessions_store, sms_store, store, throttle_store
from services.otp.domain.purpose import Purpose
from services.otp.limits import OF_STRANGERS
from services.otp.models import outbox as outbox_tables
from services.otp.worker_deps import WorkerDeps
from shared import budgets, outbox
from shared.budgets import Charge
from shared.database import writing
from shared.messages import OpenThingsEnded, SessionEnded


@dataclass(frozen=True, slots=True)
class End:
    """``session_ids`` have ended. ``codes``: all texted codes of the account end; ``enrollments``: all that wait.

    ``strangers``: the failures in a row of browsers that the account does not know, and their windows.
    """

    account_id: str
    session_ids: Sequence[str] = ()
    codes: bool = False
    enrollments: bool = False
    strangers: bool = False


def end(deps: WorkerDeps, command: End) -> None:
    """End these things. Idempotent; the codes end before the commit, so that a call that fails may be repeated."""
    now = deps.clock()
    with writing(deps.database) as connection:
        _end(deps, connection, command, begun_before=now)
    if command.strangers:
        # After the commit, because Redis reads its count from SQL where it has none.
        budgets.clear(deps.redis, *(Charge(rate, command.account_id) for rate in OF_STRANGERS))
        throttle_store.forget(deps.redis, command.account_id, OF_STRANGERS)


def session_ended(deps: WorkerDeps, event: SessionEnded) -> None:
    """Act on the event that auth sends besides its call, because a gateway that is killed makes no call."""
    _act_once(deps, event, End(event.account_id, (event.session_id,)))


def all_ended(deps: WorkerDeps, event: OpenThingsEnded) -> None:
    """Act on the event of an earlier release's command line, which made no call."""
    _act_once(deps, event, End(event.account_id, codes=True, enrollments=True))


def _act_once(deps: WorkerDeps, event: SessionEnded | OpenThingsEnded, command: End) -> None:
    """Claim the event and end what it names in one transaction, because a replay must not end codes sent since."""
    with writing(deps.database) as connection:
        if outbox.handle_once(connection, outbox_tables, event.id, deps.clock()):
            _end(deps, connection, command, begun_before=event.occurred_at)


def _end(deps: WorkerDeps, connection: Connection, command: End, *, begun_before: datetime) -> None:
    sessions_store.hold(connection, command.account_id)
    now = deps.clock()
    sessions_store.end(connection, command.session_ids, now)
    ended = store.take_pending(connection, command.account_id, command.session_ids)
    older_key_store.keep(deps.redis, command.account_id, ended, now)
    if command.enrollments:
        sessions_store.forget_enrollments(connection, command.account_id, begun_before)
    if command.strangers:
        attempts_store.end_strangers(connection, command.account_id, now)
    if command.codes:
        sms_store.forget_account(deps.redis, command.account_id, frozenset(Purpose))
    else:
        sms_store.forget_sessions(deps.redis, command.account_id, command.session_ids)
