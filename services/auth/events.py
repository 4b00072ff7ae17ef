"""What the gateway does about what otp and notify report. Delivered twice or late, an event acts once.

One transaction claims the message and does all of it, Redis included, so a replay does nothing. What ends in Redis ends
by moments ("sessions from before it happened"): when the commit fails, the message comes again and ends nothing newer.

An event that a restore has made void (shared/restores.py) gives nothing. What it ends, records and tells stands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy import Connection

from services.auth import consequences, enrollment_words, notices, reset_steps, session_store
from services.auth.consequences import Concerned
from services.auth.deps import WorkerDeps
from services.auth.domain.account import Account
from services.auth.domain.consequences import CONSEQUENCES, Change, Row
from services.auth.domain.notice_texts import Kind
from services.auth.domain.reset import EndedBecause, Status
from services.auth.models import BOX, RESTORES
from services.auth.store import accounts, timeline
from services.auth.store import resets as reset_store
from services.auth.store.timeline import SYSTEM, Entry
from shared import outbox, restores
from shared.database import writing
from shared.messages import (
    NEW_BROWSERS,
    AuthenticatorEnrolled,
    Message,
    NoticeNotSent,
    RecoveryCodeSpent,
    RecoveryCodesRegenerated,
    SecondFactorLocked,
    SmsDeliveryChanged,
    TwoFactorDisabled,
    TwoFactorResetApplied,
    TwoFactorResetApprovalLapsed,
    TwoFactorResetCoolOffEnded,
    TwoFactorResetFoundNothing,
    UnreadableMessage,
)

log = structlog.get_logger("auth.events")


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Event(Generic[M]):
    """A message that is being handled, with what its handler works on."""

    deps: WorkerDeps
    connection: Connection
    account: Account
    message: M

    def write(self, entry: Entry, *, actor: str = timeline.OWNER, **details: Any) -> None:  # noqa: ANN401 - JSON
        """Add to the timeline, at the time when it happened."""
        timeline.write(self.connection, self.account.id, entry, self.message.occurred_at, actor=actor, **details)

    def tell(self, kind: Kind, **values: Any) -> None:  # noqa: ANN401 - whatever the text needs
        """Tell the owner."""
        notices.tell(self.connection, self.deps, self.account, kind, self.message.occurred_at, **values)


def handle(deps: WorkerDeps, message: Message) -> None:
    """Act on an event. Raises store errors, when it is to be delivered again, and UnreadableMessage."""
    row = HANDLERS.get(type(message))
    if row is None:
        raise UnreadableMessage(f"nobody here handles {message.TYPE}")
    account_id: str = getattr(message, "account_id")  # noqa: B009 - every event in the table has one
    ends = CONSEQUENCES[row.change] if row.change else None
    with writing(deps.database) as connection:
        if not outbox.handle_once(connection, BOX, message.id, deps.clock()):
            return
        if ends is not None:
            accounts.hold(connection, account_id)
            _end_in_redis(deps, ends, account_id, message, row.cause(message))
        account = accounts.by_id(connection, account_id)
        if account is None:
            log.error("event dropped: no such account", type=message.TYPE, account_id=account_id)
            return
        event = Event(deps, connection, account, message)
        is_void = restores.is_void(connection, RESTORES, message)
        owed = is_void and enrollment_words.owes_enrollment(connection, account)
        if row.act is not None:
            row.act(event)
        if row.gives is not None and not is_void:
            row.gives(event)
        if owed and not enrollment_words.owes_enrollment(connection, account):
            # otp may have lost what the entry above tells of, so the account still owes the enrolment.
            timeline.write(connection, account_id, Entry.TWO_FACTOR_LOST, deps.clock(), actor=SYSTEM)
        if ends is not None:
            before = message.occurred_at
            consequences.end_in_sql(connection, deps, ends, account_id, before=before, reinstates=not is_void)


def _end_in_redis(deps: WorkerDeps, ends: Row, account_id: str, message: Message, cause: str) -> None:
    order = replace(
        consequences.order_of(ends, None, Concerned(), cause, now=deps.clock()),
        spare=getattr(message, "session_id", None),
        before=message.occurred_at,
        lost_factors=ends.lost,
        windows=consequences.closed_windows(ends),
    )
    session_store.end(deps.redis, account_id, order)


def _enrolled(event: Event[AuthenticatorEnrolled]) -> None:
    event.write(Entry.TWO_FACTOR_ENABLED, authenticator_id=event.message.authenticator_id)
    event.tell(Kind.TWO_FACTOR_ON)


def _answer_prompt(event: Event[AuthenticatorEnrolled]) -> None:
    if not _is_being_removed(event):
        _end_prompt_if_enrolled(event)


def _is_being_removed(event: Event[AuthenticatorEnrolled]) -> bool:
    """Whether a reset that is not applied yet removes what was enrolled: this event came late."""
    reset = reset_store.open_of(event.connection, event.account.id)
    return (
        reset is not None and reset.status is Status.APPROVED and event.message.authenticator_id in reset.authenticators
    )


def _end_prompt_if_enrolled(event: Event[Any]) -> None:
    """End the prompt to enrol, unless the account still owes an enrolment."""
    if not enrollment_words.owes_enrollment(event.connection, event.account):
        accounts.set_enrollment_prompt(event.connection, event.account.id, prompted=False)


def _disabled(event: Event[TwoFactorDisabled]) -> None:
    event.write(Entry.TWO_FACTOR_DISABLED)
    event.tell(Kind.TWO_FACTOR_OFF)


def _recovery_code_spent(event: Event[RecoveryCodeSpent]) -> None:
    event.write(Entry.RECOVERY_CODE_SPENT, remaining=event.message.remaining)
    event.tell(Kind.RECOVERY_CODE_USED, remaining=event.message.remaining)


def _recovery_codes_regenerated(event: Event[RecoveryCodesRegenerated]) -> None:
    event.write(Entry.RECOVERY_CODES_REGENERATED)
    event.tell(Kind.RECOVERY_CODES_REGENERATED)


def _locked(event: Event[SecondFactorLocked]) -> None:
    message = event.message
    failures, scope = message.consecutive_failures, message.scope
    event.write(Entry.SECOND_FACTOR_LOCKED, actor=SYSTEM, consecutive_failures=failures, scope=scope)
    event.tell(_LOCK_NOTICES.get(scope, Kind.SECOND_FACTOR_LOCKED_EVERYWHERE))


_LOCK_NOTICES = {NEW_BROWSERS: Kind.SECOND_FACTOR_LOCKED}


def _cool_off_ended(event: Event[TwoFactorResetCoolOffEnded]) -> None:
    reset_steps.cool_off_ended(event.connection, event.deps, event.account, event.message.reset_id, event.deps.clock())


def _approval_lapsed(event: Event[TwoFactorResetApprovalLapsed]) -> None:
    reset_steps.approval_lapsed(event.connection, event.deps, event.account, event.message.reset_id, event.deps.clock())


def _reset_found_nothing(event: Event[TwoFactorResetFoundNothing]) -> None:
    accounts.hold(event.connection, event.account.id)
    reset = reset_store.by_id(event.connection, event.message.reset_id)
    if reset is not None and reset.account_id == event.account.id:
        is_in = event.message.factor is not None
        because = EndedBecause.OWNER_SIGNED_IN if is_in else EndedBecause.NOTHING_TO_REMOVE
        now, sources = event.deps.clock(), (Status.APPROVED,)
        if reset_steps.end(event.connection, event.deps, event.account, reset, because, now, sources=sources):
            _end_prompt_if_enrolled(event)  # another reset may have removed 2FA meanwhile


def _reset_applied(event: Event[TwoFactorResetApplied]) -> None:
    """2FA is gone, whatever we thought of the reset: everything that it had opened is shut, and the owner is told."""
    event.write(Entry.RESET_APPLIED, actor=SYSTEM, reset_id=event.message.reset_id)
    # The owner may have turned 2FA on again before this event came.
    if enrollment_words.owes_enrollment(event.connection, event.account):
        accounts.set_enrollment_prompt(event.connection, event.account.id, prompted=True)
    event.tell(Kind.RESET_APPLIED)


def _finish_reset(event: Event[TwoFactorResetApplied]) -> None:
    """Finish the reset. Its words may enrol; where 2FA is on again, no enrolment is asked for."""
    reset_id, at = event.message.reset_id, event.message.occurred_at
    applied = reset_store.move(event.connection, reset_id, [Status.APPROVED], Status.APPLIED, applied_at=at)
    if not applied:
        log.error("a reset was applied that was not approved", reset_id=reset_id)
    reset = reset_store.by_id(event.connection, reset_id)
    if not enrollment_words.owes_enrollment(event.connection, event.account):
        accounts.set_enrollment_prompt(event.connection, event.account.id, prompted=False)
    elif applied and reset is not None:
        reset_steps.activate_word(event.connection, reset, event.deps.clock())


def _sms_delivery_changed(event: Event[SmsDeliveryChanged]) -> None:
    event.write(
        Entry.SMS_DELIVERY,
        actor=SYSTEM,
        message_id=event.message.message_id,
        status=event.message.status,
        reason=event.message.reason,
        provider=event.message.provider,
    )


def _notice_not_sent(event: Event[NoticeNotSent]) -> None:
    message = event.message
    event.write(Entry.NOTICE_NOT_SENT, actor=SYSTEM, message_id=message.message_id, channel=message.channel)


@dataclass(frozen=True, slots=True)
class Handler:
    """What an event does in SQL, and the change that it reports, if that ends anything (CVE-2023-31140)."""

    act: Callable[[Event[Any]], None] | None = None
    # What it gives, unless a restore has made that void (restores.VOID_AFTER_RESTORE_OF).
    gives: Callable[[Event[Any]], None] | None = None
    change: Change | None = None
    # The name of the change, which the gateway may have applied already: a login begun since must not end.
    cause: Callable[[Any], str] = attrgetter("id")


HANDLERS: Mapping[type[Message], Handler] = {
    AuthenticatorEnrolled: Handler(_enrolled, _answer_prompt, Change.FACTOR_ADDED, attrgetter("authenticator_id")),
    TwoFactorDisabled: Handler(_disabled, change=Change.FACTOR_REMOVED),
    RecoveryCodeSpent: Handler(_recovery_code_spent),
    RecoveryCodesRegenerated: Handler(_recovery_codes_regenerated, change=Change.RECOVERY_CODES_RENEWED),
    SecondFactorLocked: Handler(_locked),
    TwoFactorResetCoolOffEnded: Handler(_cool_off_ended),
    TwoFactorResetApprovalLapsed: Handler(_approval_lapsed),
    TwoFactorResetFoundNothing: Handler(gives=_reset_found_nothing),
    TwoFactorResetApplied: Handler(_reset_applied, _finish_reset, Change.RESET_APPLIED),
    SmsDeliveryChanged: Handler(_sms_delivery_changed),
    NoticeNotSent: Handler(_notice_not_sent),
}
