"""What the gateway does about what otp and notify report. Delivered twice or late, an event acts once.

Redis comes first and by moments ("sessions from before it happened"), so repeating it changes nothing; then one
transaction claims the message and does the rest. A crash in between repeats the harmless half.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy import Connection

from services.auth import notices, resets, session_store
from services.auth.deps import WorkerDeps
from services.auth.domain.account import Account
from services.auth.domain.notice_texts import Kind
from services.auth.domain.reset import Status
from services.auth.models import BOX
from services.auth.store import accounts, devices, timeline
from services.auth.store import resets as reset_store
from services.auth.store.timeline import SYSTEM, Entry
from shared import outbox
from shared.database import writing
from shared.messages import (
    NEW_BROWSERS,
    AuthenticatorEnrolled,
    Message,
    RecoveryCodeSpent,
    RecoveryCodesRegenerated,
    SecondFactorLocked,
    SmsDeliveryChanged,
    TwoFactorDisabled,
    TwoFactorResetApplied,
    TwoFactorResetCoolOffEnded,
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

    def revoke_devices(self) -> None:
        """Trust from before it happened is over."""
        devices.revoke_all(self.connection, self.account.id, self.message.occurred_at, self.deps.clock())


def handle(deps: WorkerDeps, message: Message) -> None:
    """Act on an event. Raises store errors, when it is to be delivered again, and UnreadableMessage."""
    row = HANDLERS.get(type(message))
    if row is None:
        raise UnreadableMessage(f"nobody here handles {message.TYPE}")
    account_id: str = getattr(message, "account_id")  # noqa: B009 - every event in the table has one
    if row.ends_sessions:
        session_store.end_all(
            deps.redis,
            account_id,
            spare=getattr(message, "session_id", None),
            authenticated_before=message.occurred_at,
            cause=row.cause(message),
        )
    with writing(deps.database) as connection:
        if not outbox.handle_once(connection, BOX, message.id, deps.clock()):
            return
        account = accounts.by_id(connection, account_id)
        if account is None:
            log.error("event dropped: no such account", type=message.TYPE, account_id=account_id)
            return
        row.act(Event(deps, connection, account, message))


def _enrolled(event: Event[AuthenticatorEnrolled]) -> None:
    event.revoke_devices()
    accounts.set_enrollment_prompt(event.connection, event.account.id, prompted=False)
    event.write(Entry.TWO_FACTOR_ENABLED, authenticator_id=event.message.authenticator_id)
    event.tell(Kind.TWO_FACTOR_ON)


def _disabled(event: Event[TwoFactorDisabled]) -> None:
    event.revoke_devices()
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
    """A reset that was cancelled meanwhile stays cancelled."""
    now = event.deps.clock()
    reset = reset_store.by_id(event.connection, event.message.reset_id)
    if reset is None or not reset_store.move(
        event.connection,
        reset.id,
        [Status.COOLING_OFF],
        Status.APPROVED,
        approved_at=reset.approved_at or now,
    ):
        return
    timeline.write(event.connection, event.account.id, Entry.RESET_APPROVED, now, actor=SYSTEM, reset_id=reset.id)
    resets.record_approved(event.connection, event.account.id, reset.id, now)


def _reset_applied(event: Event[TwoFactorResetApplied]) -> None:
    """2FA is gone, whatever we thought of the reset: everything that it had opened is shut, and the owner is told."""
    applied = reset_store.move(
        event.connection,
        event.message.reset_id,
        [Status.APPROVED],
        Status.APPLIED,
        applied_at=event.message.occurred_at,
    )
    if not applied:
        log.error("a reset was applied that was not approved", reset_id=event.message.reset_id)
    event.revoke_devices()
    # The owner may have turned 2FA on again before this event came.
    enrolled_again = timeline.happened_since(
        event.connection, event.account.id, Entry.TWO_FACTOR_ENABLED, event.message.occurred_at
    )
    accounts.set_enrollment_prompt(event.connection, event.account.id, prompted=not enrolled_again)
    event.write(Entry.RESET_APPLIED, actor=SYSTEM, reset_id=event.message.reset_id)
    event.tell(Kind.RESET_APPLIED)


def _sms_delivery_changed(event: Event[SmsDeliveryChanged]) -> None:
    event.write(
        Entry.SMS_DELIVERY,
        actor=SYSTEM,
        message_id=event.message.message_id,
        status=event.message.status,
        reason=event.message.reason,
        provider=event.message.provider,
    )


@dataclass(frozen=True, slots=True)
class Handler:
    """What an event does in SQL, and whether sessions and logins from before it end (CVE-2023-31140)."""

    act: Callable[[Event[Any]], None]
    ends_sessions: bool = False
    # What logins are ended for, once: the event, unless the gateway does so by another name when it happens.
    cause: Callable[[Any], str] = attrgetter("id")


HANDLERS: Mapping[type[Message], Handler] = {
    AuthenticatorEnrolled: Handler(_enrolled, ends_sessions=True, cause=attrgetter("authenticator_id")),
    TwoFactorDisabled: Handler(_disabled, ends_sessions=True),
    RecoveryCodeSpent: Handler(_recovery_code_spent),
    RecoveryCodesRegenerated: Handler(_recovery_codes_regenerated),
    SecondFactorLocked: Handler(_locked),
    TwoFactorResetCoolOffEnded: Handler(_cool_off_ended),
    TwoFactorResetApplied: Handler(_reset_applied, ends_sessions=True),
    SmsDeliveryChanged: Handler(_sms_delivery_changed),
}
