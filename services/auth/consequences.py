"""Applying a row of the table of changes (domain.consequences): in SQL, in Redis and in otp.

``changing`` holds the account for the length of a change, so that a change and the end of the session that orders it
happen one after the other. The order inside it:

1. The caller writes its rows.
2. Sessions and logins end in Redis, then devices and resets in SQL, then codes and enrollments in otp.
3. The transaction commits.
4. Redis runs the order once more: it ends a login that slipped in before the commit, and gives the session its new
   token. Or Redis ends the session that orders the change, because it rests on the phone that changes. A login that
   slips into a change of otp's has begun after it, and was asked for what the account has now. It may stay.
5. otp ends the name of the session under its old token.

A failure before the commit changes nothing but the sessions that have ended. After a later failure the call may be
sent again. A session that orders a change of the phone on which it rests is spared until step 4, so that it can repeat
the call. From step 2 on it has a minute to live.

A change that otp has made has a cause, and is applied once. A repeat applies what is missing, and ends nothing that
began after the first order with this cause. A login that slips in before step 4 has begun after otp's change, and was
asked for what the account has now; so it may stay.

When one session or device ends, otp is called after the commit. An event in the same commit tells otp even if the
gateway is killed before that call. Unavailable is raised when otp does not answer, because otp may still commit a write
that the session has under way.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from sqlalchemy import Connection

from services.auth import limits, reset_steps, session_store
from services.auth.deps import WorkerDeps
from services.auth.domain.consequences import CONSEQUENCES, Change, Own, Row, Scope
from services.auth.domain.session import Factor, PassOn, Session, StepUp
from services.auth.models import BOX
from services.auth.session_store import Ended, Order
from services.auth.store import accounts, devices, enrollment_words, identity_checks
from shared import outbox
from shared.database import writing
from shared.ids import new_id
from shared.messages import SessionEnded
from shared.problems import Refusal, Unavailable

# For types only: the event worker, which calls otp by events, must not load an HTTP client.
if TYPE_CHECKING:
    from services.auth.otp_client import OtpClient


@dataclass(frozen=True, slots=True)
class Acting:
    """The session that orders a change, and its token. ``pass_on``: how a repeat of the call finds its new token."""

    session: Session
    token: str
    pass_on: PassOn | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Concerned:
    """What a row's ``ITS_OWN`` refers to. ``every_device``: everything that was opened on any device."""

    session_ids: Sequence[str] = ()
    device_ids: Sequence[str] = ()
    every_device: bool = False


@dataclass(slots=True)
class Changing:
    """A change under way. ``session_ids`` have ended; ``acting`` is the session as it lives on, after the block.

    The block may set ``concerned``, where what ends is read while the account is held: no login slips in between.
    """

    connection: Connection
    now: datetime
    acting: Acting | None
    concerned: Concerned
    session_ids: tuple[str, ...] = ()
    shows: tuple[Factor, ...] = field(default=())  # what the change itself has proven: set inside the block

    @property
    def acting_ended(self) -> bool:
        """Whether the change ended the session that ordered it."""
        return self.acting is not None and self.acting.session.id in self.session_ids


@contextmanager
def holding(deps: WorkerDeps, acting: Acting, *others: str) -> Iterator[Connection]:
    """Hold the account and ``others`` for a write that ends nothing; the session that orders it must be live.

    Raises Refusal not_authenticated.
    """
    with writing(deps.database) as connection:
        accounts.hold(connection, acting.session.account_id, *others)
        if session_store.find(deps.redis, acting.token) is None:
            raise Refusal("not_authenticated")
        yield connection


@contextmanager
def changing(
    deps: WorkerDeps,
    change: Change,
    account_id: str,
    *,
    otp: "OtpClient",
    acting: Acting | None = None,
    concerned: Concerned | None = None,
    cause: str | None = None,
) -> Iterator[Changing]:
    """Make a change in the block, and end what its row says.

    ``cause`` names a change that a repeat of the call, and an event, report too: it is applied once. Raises Refusal
    not_authenticated when the session that orders it has ended, and changes nothing then; Unavailable.
    """
    row = CONSEQUENCES[change]
    with writing(deps.database) as connection:
        accounts.hold(connection, account_id)
        state = Changing(connection, deps.clock(), acting, concerned or Concerned())
        yield state
        order = order_of(row, acting, state.concerned, cause, now=state.now)
        ended = _end(deps, account_id, order)
        if ended.was_complete:
            return
        state.session_ids = ended.session_ids
        end_in_sql(connection, deps, row, account_id, before=ended.since or state.now)
        if row.sessions is Scope.ITS_OWN:
            record_ended(connection, deps, account_id, ended.session_ids, state.now)
        else:
            _end_in_otp(otp, row, account_id, ended.session_ids)
    if row.own is Own.NEW_TOKEN and acting is not None:
        lives_on = _as_it_lives_on(row, acting.session, state)
        again = _end(deps, account_id, replace(order, completes=True, renewed=lives_on, pass_on=acting.pass_on))
        state.acting = Acting(lives_on, again.token or acting.token)
        _end_call_id(deps, otp, acting.session)
    elif row.sessions is Scope.ALL:
        _end(deps, account_id, replace(order, completes=True))
    elif order.lingers_until and state.acting_ended:
        with suppress(RedisError):  # then it ends within the minute
            session_store.end(deps.redis, account_id, Order(at=state.now, session_ids=ended.session_ids))
    if row.sessions is Scope.ITS_OWN:
        _end_in_otp(otp, row, account_id, ended.session_ids)


def order_of(
    row: Row, acting: Acting | None, concerned: Concerned, cause: str | None = None, *, now: datetime
) -> Order:
    """Turn a row into the order that ends sessions and logins in Redis."""
    spared = acting is not None and row.own in {Own.KEPT, Own.NEW_TOKEN}
    return Order(
        at=now,
        acting=acting.token if acting is not None else None,
        lingers_until=now + limits.REPEATABLE_FOR if row.sessions is Scope.BY_SMS else None,
        logins=row.logins is Scope.ALL,
        cause=cause if row.logins is Scope.ALL else None,
        all_sessions=row.sessions is Scope.ALL,
        spare=acting.session.id if acting is not None and spared else None,
        session_ids=concerned.session_ids if row.sessions is Scope.ITS_OWN else (),
        resting_on=Factor.SMS if row.sessions is Scope.BY_SMS else None,
        device_ids=concerned.device_ids if row.sessions is Scope.ITS_OWN else (),
        any_device=concerned.every_device and row.sessions is Scope.ITS_OWN,
        lost_factors=row.lost if row.sessions is not Scope.ALL else (),
        windows=closed_windows(row) if row.sessions is not Scope.ALL else (),
        method=Factor.SMS if row.logins is Scope.BY_SMS else None,
    )


def closed_windows(row: Row) -> tuple[StepUp, ...]:
    """The step-up windows that a row closes in sessions which live on."""
    return {Scope.ALL: tuple(StepUp), Scope.BY_SMS: (StepUp.SMALL,)}.get(row.windows, ())


def end_in_sql(
    connection: Connection,
    deps: WorkerDeps,
    row: Row,
    account_id: str,
    *,
    before: datetime,
    reinstates: bool = True,
) -> None:
    """End the devices, identity checks, enrolment words and reset that a row ends, if they are from before a moment.

    A row that ends all other sessions ends the checks too, because they were made for the account as it was.
    ``reinstates``: as in reset_steps.end.
    """
    now = deps.clock()
    if row.sessions is Scope.ALL:
        identity_checks.end_all(connection, account_id, before)
    if row.trust is Scope.ALL:
        devices.revoke_all(connection, account_id, before, now)
    elif row.trust is Scope.BY_SMS:
        devices.revoke_won_by(connection, account_id, Factor.SMS, now)
    if row.words:
        enrollment_words.remove_issued_by(connection, account_id, before)
    account = accounts.by_id(connection, account_id) if row.resets else None
    if account is not None:
        reset_steps.account_changed(connection, deps, account, before, now, reinstates=reinstates)


def _end(deps: WorkerDeps, account_id: str, order: Order) -> Ended:
    ended = session_store.end(deps.redis, account_id, order)
    if not ended.acting_lives:
        raise Refusal("not_authenticated")
    return ended


def _as_it_lives_on(row: Row, session: Session, state: Changing) -> Session:
    kept = frozenset(Factor) - frozenset(row.lost)
    shown = tuple(dict.fromkeys((*session.factors, *state.shows)))
    renewed = replace(session, factors=shown).renewed(state.now).reduced(kept)
    return renewed.without_windows() if row.windows is Scope.ALL else renewed


def _end_in_otp(otp: "OtpClient", row: Row, account_id: str, session_ids: Sequence[str]) -> None:
    codes, enrollments = row.codes is Scope.ALL, row.enrollments is Scope.ALL
    if codes or enrollments or row.strangers or session_ids:
        otp.end(account_id, session_ids, codes=codes, enrollments=enrollments, strangers=row.strangers)


def _end_call_id(deps: WorkerDeps, otp: "OtpClient", session: Session) -> None:
    """Let otp refuse what a copy of the replaced token has under way; by an event when otp does not answer.

    This comes after the new token. Otherwise a failure in between would leave a live session that otp refuses.
    """
    try:
        otp.end(session.account_id, [session.call_id], codes=False, enrollments=False)
    except Unavailable:
        with writing(deps.database) as connection:
            record_ended(connection, deps, session.account_id, [session.call_id], deps.clock())


def record_ended(
    connection: Connection, deps: WorkerDeps, account_id: str, session_ids: Sequence[str], now: datetime
) -> None:
    """Let otp know, by an event in the same commit, that it must refuse what these sessions have under way."""
    for session_id in session_ids:
        event = SessionEnded(id=new_id("evt"), occurred_at=now, account_id=account_id, session_id=session_id)
        outbox.record(connection, BOX, event, deps.signer)
