"""The steps of a reset that gateway and worker share: what is recorded when it moves on, and how it ends early.

Everything here runs in the caller's transaction.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.auth import enrollment_words, notices, reset_facts, session_store
from services.auth.deps import WorkerDeps
from services.auth.domain import reset_policy
from services.auth.domain.account import Account, Role
from services.auth.domain.consequences import ACCEPTED, CONSEQUENCES
from services.auth.domain.notice_texts import NOTHING, Kind, Phrase
from services.auth.domain.reset import CANCELLABLE, EndedBecause, ReasonKind, Reset, Status
from services.auth.domain.session import Factor, StepUp
from services.auth.models import BOX
from services.auth.store import accounts, timeline
from services.auth.store import resets as store
from services.auth.store.timeline import OWNER, SYSTEM, Entry
from shared import outbox
from shared.ids import new_id
from shared.messages import (
    AuthenticatorsReinstated,
    AuthenticatorsSuspended,
    TwoFactorResetApprovalLapsed,
    TwoFactorResetApproved,
    TwoFactorResetCoolOffEnded,
)
from shared.problems import Refusal


def why_ended(because: EndedBecause) -> Phrase:
    """The sentence for the owner: why the reset has ended."""
    return Phrase((f"ended_{because}",))


def record_next(connection: Connection, deps: WorkerDeps, account: Account, reset: Reset, now: datetime) -> None:
    """Record the messages that carry the reset on from the status it has just entered."""
    ids = {"account_id": reset.account_id, "reset_id": reset.id}
    if reset.status is Status.AWAITING_APPROVAL:
        lapsed = TwoFactorResetApprovalLapsed(id=new_id("msg"), occurred_at=now, **ids)
        outbox.record(connection, BOX, lapsed, deps.signer, not_before=reset.approval_ends_at)
    elif reset.status is Status.COOLING_OFF:
        _record_cool_off_end(connection, deps, reset, now)
    elif reset.status is Status.APPROVED and not reset.authenticators:
        _give_new_word(connection, deps, account, reset, now)
    elif reset.status is Status.APPROVED:
        approved = TwoFactorResetApproved(
            id=new_id("msg"),
            occurred_at=now,
            authenticators=tuple(reset.authenticators),
            ended_by=tuple(sorted(_ended_by(reset))),
            **ids,
        )
        outbox.record(connection, BOX, approved, deps.signer)
        # Before otp removes anything, so that no password alone enrolls until the event of it comes back. While 2FA is
        # on, this refuses nothing: enrollment_words.closes_console knows approved resets.
        accounts.set_enrollment_prompt(connection, account.id, prompted=True)


def suspend_stolen(
    connection: Connection, deps: WorkerDeps, reset: Reset, now: datetime, *, voided_by: str | None = None
) -> bool:
    """Have otp refuse what was stolen until the reset is over, and close the account's step-up windows.

    Otherwise the thief could turn 2FA off while the reset waits for its approval, and so end the reset. ``voided_by``:
    the restore that ends the reset; what it names stays suspended. False when the reset names nothing that was stolen.
    """
    if reset.reason_kind is not ReasonKind.STOLEN or not reset.authenticators:
        return False
    stolen = AuthenticatorsSuspended(
        id=new_id("msg"),
        occurred_at=now,
        account_id=reset.account_id,
        reset_id=reset.id,
        authenticators=tuple(reset.authenticators),
        voided_by=voided_by,
    )
    outbox.record(connection, BOX, stolen, deps.signer)  # otp acts on it once a reset, however often it is recorded
    session_store.end(deps.redis, reset.account_id, session_store.Order(at=now, windows=tuple(StepUp)))
    return True


def _record_cool_off_end(connection: Connection, deps: WorkerDeps, reset: Reset, now: datetime) -> None:
    ended = TwoFactorResetCoolOffEnded(
        id=new_id("msg"), occurred_at=now, account_id=reset.account_id, reset_id=reset.id
    )
    outbox.record(connection, BOX, ended, deps.signer, not_before=reset.cool_off_ends_at)


def _give_new_word(connection: Connection, deps: WorkerDeps, account: Account, reset: Reset, now: datetime) -> None:
    """Give new words where 2FA is off since an earlier reset and its words were lost: otp has nothing to remove."""
    if store.move(connection, reset.id, [Status.APPROVED], Status.APPLIED, applied_at=now):
        activate_word(connection, reset, now)
        timeline.write(connection, account.id, Entry.RESET_APPLIED, now, actor=SYSTEM, reset_id=reset.id)
        notices.tell(connection, deps, account, Kind.NEW_ENROLLMENT_WORD, now)


def activate_word(connection: Connection, reset: Reset, now: datetime) -> None:
    """Make the word that the verified caller got usable for enrolling."""
    if reset.enrollment_word_id is not None:
        enrollment_words.activate(connection, reset.account_id, reset.enrollment_word_id, now)


def record_reinstated(connection: Connection, deps: WorkerDeps, reset: Reset, now: datetime) -> None:
    """Let otp accept again what was suspended for a reset that will not be applied."""
    if reset.reason_kind is ReasonKind.STOLEN:
        message = AuthenticatorsReinstated(
            id=new_id("msg"), occurred_at=now, account_id=reset.account_id, reset_id=reset.id
        )
        outbox.record(connection, BOX, message, deps.signer)


def end(
    connection: Connection,
    deps: WorkerDeps,
    account: Account,
    reset: Reset,
    because: EndedBecause,
    now: datetime,
    *,
    actor: str = SYSTEM,
    sources: tuple[Status, ...] = CANCELLABLE,
    reinstates: bool = True,
) -> bool:
    """End a reset that may not go on, and tell the owner why; False when it has moved on meanwhile.

    ``reinstates``: otp accepts again what was suspended for it.
    """
    if not store.move(connection, reset.id, sources, Status.ENDED, ended_because=because):
        return False
    if reinstates:
        record_reinstated(connection, deps, reset, now)
    facts = {"reset_id": reset.id, "because": because}
    timeline.write(connection, account.id, Entry.RESET_ENDED, now, actor=actor, **facts)
    notices.tell(connection, deps, account, Kind.RESET_ENDED, now, because=why_ended(because))
    return True


def owner_proved(connection: Connection, deps: WorkerDeps, account: Account, factor: Factor, now: datetime) -> None:
    """Somebody proved this factor: an open reset ends, if the factor's row in the table of changes says so.

    A reset of what was stolen refuses six digits, as otp does from the moment when it has suspended the app. Until then
    the thief's code counts there. otp ends an approved reset itself, because it finds that the code was accepted
    (TwoFactorResetApproved.ended_by). Raises Refusal invalid_passcode.
    """
    reset = store.open_of(connection, account.id) if store.is_open(connection, account.id) else None
    if reset is None:
        return
    if reset.reason_kind is ReasonKind.STOLEN and reset.authenticators and factor in {Factor.TOTP, Factor.SMS}:
        raise Refusal("invalid_passcode")
    if factor in _ended_by(reset):
        end(connection, deps, account, reset, EndedBecause.OWNER_SIGNED_IN, now, actor=OWNER)


def _ended_by(reset: Reset) -> list[Factor]:
    """The factors of the owner that end this reset."""
    return [factor for factor, change in ACCEPTED.items() if reset.reason_kind in CONSEQUENCES[change].resets]


def account_changed(
    connection: Connection, deps: WorkerDeps, account: Account, at: datetime, now: datetime, *, reinstates: bool = True
) -> None:
    """A factor was added or removed, or a role set, at ``at``: a reset that was asked for before then ends."""
    reset = store.open_of(connection, account.id)
    if reset is not None and reset.requested_at <= at:
        because = EndedBecause.TWO_FACTOR_CHANGED
        end(connection, deps, account, reset, because, now, actor=OWNER, reinstates=reinstates)


def reason_to_end(
    connection: Connection,
    deps: WorkerDeps,
    account: Account,
    reset: Reset,
    now: datetime,
    *,
    able: Collection[str] | None = None,
) -> EndedBecause | None:
    """Why the reset must end by today's facts; None when it may go on.

    Its operators must still be operators, and its checks must still allow what was decided. Only new facts end it, and
    never time alone. A code that was accepted since the request contradicts a lost factor. It does not contradict a
    stolen one, because it may be the thief's. ``able``: as in reset_facts.read.
    """
    if reset.requested_by is None:  # from the command line: no rule decided it
        return None
    if accounts.of_role(connection, reset.operators, Role.SUPPORT) != reset.operators:
        return EndedBecause.OPERATOR_GONE
    times = deps.settings.reset_times
    until = reset.requested_at if reset.reason_kind is ReasonKind.STOLEN else None
    facts = reset_facts.read(connection, account, now, times, able=able, codes_until=until)
    approvals, wait = reset.approvals_needed, timedelta(seconds=reset.cool_off_seconds)
    holds = reset_policy.still_holds(reset.passed, facts, times, approvals=approvals, cool_off=wait)
    return None if holds else EndedBecause.CHECKS_NO_LONGER_HOLD


def cool_off_ended(connection: Connection, deps: WorkerDeps, account: Account, reset_id: str, now: datetime) -> None:
    """Apply the reset whose cool-off is over by its own row; a reset that was cancelled meanwhile stays cancelled."""
    accounts.hold(connection, account.id)
    reset = store.by_id(connection, reset_id)
    if reset is None or reset.account_id != account.id or reset.status is not Status.COOLING_OFF:
        return
    if reset.cool_off_ends_at is None or reset.cool_off_ends_at > now:
        _record_cool_off_end(connection, deps, reset, now)  # early, because clocks differ or somebody forged it
        return
    because = reason_to_end(connection, deps, account, reset, now)
    if because is not None:
        end(connection, deps, account, reset, because, now)
        return
    approved_at = reset.approved_at or now
    if store.move(connection, reset.id, [Status.COOLING_OFF], Status.APPROVED, approved_at=approved_at):
        timeline.write(connection, account.id, Entry.RESET_APPROVED, now, actor=SYSTEM, reset_id=reset.id)
        record_next(connection, deps, account, replace(reset, status=Status.APPROVED), now)


def approval_lapsed(connection: Connection, deps: WorkerDeps, account: Account, reset_id: str, now: datetime) -> None:
    """End the reset whose approval was not given in time; one that was approved or cancelled meanwhile stays so."""
    reset = store.by_id(connection, reset_id)
    if reset is None or reset.account_id != account.id or reset.status is not Status.AWAITING_APPROVAL:
        return
    if reset.has_lapsed(now):
        end(
            connection,
            deps,
            account,
            reset,
            EndedBecause.NOT_APPROVED_IN_TIME,
            now,
            sources=(Status.AWAITING_APPROVAL,),
        )
    else:
        record_next(connection, deps, account, reset, now)


def schedule(reset: Reset) -> Phrase:
    """A sentence for the owner: when the removal happens, and so how long it can be cancelled."""
    if reset.cool_off_ends_at is not None:
        return Phrase(("schedule_at",), {"at": reset.cool_off_ends_at})
    return Phrase(("schedule_approval_then_wait" if reset.cool_off_seconds else "schedule_approval",))


def meanwhile(reset: Reset) -> Phrase:
    """The sentence that tells the owner what is refused until the reset is over; nothing when nothing is."""
    return Phrase(("meanwhile_stolen",)) if reset.reason_kind is ReasonKind.STOLEN else NOTHING
