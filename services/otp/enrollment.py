"""Turn 2FA on: begin shows a new secret, confirm proves that the app has it. Nothing counts before the proof.

The session that began may have the secret shown again while it waits: after a reload, or in a second tab. Any other
session begins with a new one, which voids the first.
"""

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from services.otp import (
    answer_store,
    key_uri,
    older_key_store,
    qr,
    recovery_code_store,
    recovery_codes,
    sessions_store,
    sms_store,
    store,
)
from services.otp.answer_store import Answer, Call
from services.otp.attempt_batch import Attempt
from services.otp.deps import Deps
from services.otp.domain import clock_coach
from services.otp.domain.attempt import Brake, Outcome, Reason, Rejected, Throttled, Verified
from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import Factor, Purpose
from services.otp.domain.session_id import session_of
from services.otp.domain.time_step import TimeStep, step_at
from services.otp.domain.totp import SharedSecret, match_step
from services.otp.limits import BEGIN_ENROLLMENT, CONFIRM_ENROLLMENT, SHOW_ENROLLMENT
from services.otp.models import outbox as outbox_tables
from services.otp.older_key_store import OlderKey
from services.otp.outcomes import answer, attempt_row
from services.otp.sheet_stock import HashedSheet, hashed_sheet
from services.otp.store import NewAuthenticator
from shared import budgets, outbox
from shared.budgets import Charge
from shared.clock import unix_seconds
from shared.database import reading, writing
from shared.deadline import require_time
from shared.ids import new_id
from shared.messages import AuthenticatorEnrolled
from shared.problems import Refusal, Unavailable
from shared.secret import Secret

PENDING_LIVES_FOR = timedelta(minutes=10)
PURPOSE = "enrollment"  # as it stands in the attempt record


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What the page shows: the secret as text, as URI and as QR code."""

    id: str
    secret: Secret[str]
    otpauth_uri: Secret[str]
    qr_svg: Secret[str]
    expires_at: datetime


def begin(deps: Deps, account_id: str, label: str, session_id: str | None = None) -> Enrollment:
    """A new secret that waits to be confirmed by this session, in the place of the one that waited before.

    It is made anew each time: a secret that someone saw earlier must not become active later (gitlab#27686). The one
    that waited before is kept for the recognition of its codes. An active authenticator is never touched. Raises
    two_factor_already_on, session_ended, too_many_requests. A call that ends in 503 is given back.
    """
    charge = Charge(BEGIN_ENROLLMENT, account_id)
    budgets.take(deps.redis, charge).require()
    with budgets.given_back_on_outage(deps.redis, charge):
        return _begin(deps, account_id, label, session_id)


def _begin(deps: Deps, account_id: str, label: str, session_id: str | None) -> Enrollment:
    now = deps.clock()
    enrollment_id, base32, label = new_id("enr"), key_uri.new_secret(), key_uri.clean_label(label)
    sealed = deps.secret_box.seal(key_uri.decode_secret(base32), account_id, enrollment_id)
    expires_at = now + PENDING_LIVES_FOR
    with writing(deps.database) as connection:
        sessions_store.hold(connection, account_id, session_id)
        if store.is_on(connection, account_id):
            raise Refusal("two_factor_already_on")
        older = store.find_pending(connection, account_id)
        new = NewAuthenticator(enrollment_id, account_id, label, sealed, now, session_id)
        store.put_pending(connection, new, expires_at)
        older_key_store.keep(deps.redis, account_id, older, now)
        require_time()
    deps.sheets.expect()
    return _shown(deps, enrollment_id, base32, label, expires_at)


def _shown(deps: Deps, enrollment_id: str, base32: Secret[str], label: str, expires_at: datetime) -> Enrollment:
    uri = key_uri.key_uri(base32, issuer=deps.issuer, label=label)
    drawn = deps.drawing.run(lambda: qr.svg(uri))
    return Enrollment(enrollment_id, base32, Secret(uri), Secret(drawn), expires_at)


def pending_until(connection: Connection, account_id: str, session_id: str | None, now: datetime) -> datetime | None:
    """How long this session may still confirm what it began; None when nothing of its waits."""
    if session_id is None:
        return None
    pending = store.find_pending(connection, account_id)
    return pending.expires_at if pending is not None and pending.is_open_to(session_id, now) else None


def show(deps: Deps, account_id: str, session_id: str) -> Enrollment:
    """The same secret again, for the session that began it. Raises enrollment_expired, too_many_requests.

    A call that ends in 503 is given back.
    """
    with reading(deps.database) as connection:
        pending = store.find_pending(connection, account_id)
    if pending is None or not pending.is_open_to(session_id, deps.clock()):
        raise Refusal("enrollment_expired")
    charge = Charge(SHOW_ENROLLMENT, account_id)
    budgets.take(deps.redis, charge).require()
    with budgets.given_back_on_outage(deps.redis, charge):
        secret = deps.secret_box.open(pending.sealed, account_id, pending.id)
        return _shown(deps, pending.id, key_uri.encode_secret(secret), pending.label, pending.expires_at)


def cancel(deps: Deps, account_id: str, session_id: str) -> None:
    """End what this session has begun. Idempotent. Raises session_ended."""
    with writing(deps.database) as connection:
        sessions_store.hold(connection, account_id, session_id)
        cancelled = store.take_pending(connection, account_id, [session_of(session_id)])
        older_key_store.keep(deps.redis, account_id, cancelled, deps.clock())


@dataclass(frozen=True, slots=True)
class Confirm:
    """The first code of the new authenticator. ``session_id`` is the session that began it, and that may live on."""

    account_id: str
    enrollment_id: str
    passcode: Passcode
    session_id: str | None = None

    @property
    def call(self) -> Call | None:
        """Identify the call: a repeat has the same session, enrollment and code."""
        if self.session_id is None:
            return None
        return Call(self.account_id, self.session_id, f"confirm:{self.enrollment_id}", self.passcode.digits)


def confirm(deps: Deps, command: Confirm) -> list[str]:
    """Turn 2FA on and return the recovery codes.

    The same call of the same session within a minute has the same codes; it costs no try and leaves no record.

    Raises invalid_passcode, enrollment_expired, two_factor_already_on, session_ended, too_many_requests. Because only
    the owner has seen these secrets, invalid_passcode has the clock skew at once, and tells a code of an older entry. A
    try that ends in 503 is given back.
    """
    charge = Charge(CONFIRM_ENROLLMENT, command.account_id)
    taken = budgets.take(deps.redis, charge)
    throttled = None if taken.allowed else Throttled(Brake.BUDGET, taken.retry_after_seconds)
    # A wrong code is an outcome here: what fails either found nothing out or met a right code.
    with budgets.given_back_on_outage(deps.redis, charge):
        try:
            outcome, step = (throttled, None) if throttled else _compare(deps, command)
            codes = [] if step is None else _activate(deps, command, step)
        except Refusal as refusal:
            if refusal.code != "enrollment_expired" or (told := _told_before(deps, command)) is None:
                raise
            deps.recorder.settle(lambda pipeline: budgets.queue_refund(pipeline, charge))
            return told
    _record(deps, command, outcome, charge)
    answer(outcome, taken, charge)
    return codes


def _told_before(deps: Deps, command: Confirm) -> list[str] | None:
    with reading(deps.database) as connection:
        return recovery_codes.answered(deps, connection, command.call)


def _compare(deps: Deps, command: Confirm) -> tuple[Outcome, TimeStep | None]:
    with reading(deps.database) as connection:
        sealed = store.read_pending(
            connection, command.account_id, command.enrollment_id, command.session_id, deps.clock()
        )
    if sealed is None:
        raise Refusal("enrollment_expired")
    secret = deps.secret_box.open(sealed, command.account_id, command.enrollment_id)
    at = step_at(unix_seconds(deps.totp_clock()))
    step = match_step(secret, command.passcode, at)
    if step is not None:
        return Verified(Factor.TOTP), step
    for older in older_key_store.read(deps.redis, command.account_id, deps.clock()):
        if _is_code_of(deps, command, older, at):
            return Rejected(Reason.OLDER_ENTRY, older_entry_begun_at=older.begun_at), None
    return _coach(secret, command.passcode, at), None


def _is_code_of(deps: Deps, command: Confirm, older: OlderKey, at: TimeStep) -> bool:
    try:
        secret = deps.secret_box.open(older.sealed, command.account_id, older.enrollment_id)
    except Unavailable:  # it is sealed under a key that was taken away meanwhile
        return False
    return match_step(secret, command.passcode, at) is not None


def _coach(secret: SharedSecret, passcode: Passcode, at: TimeStep) -> Rejected:
    seen = clock_coach.observe(secret, passcode, at)
    if seen is None:
        return Rejected(Reason.WRONG)
    return Rejected(Reason.CLOCK_SKEW, seen.skew_seconds, coach_may_speak=True)


def _activate(deps: Deps, command: Confirm, step: TimeStep) -> list[str]:
    # Outside the transaction, because it may wait for a sheet.
    sheet = deps.sheets.take_expected() or hashed_sheet(deps.hashing)
    try:
        return _activate_with(deps, command, step, sheet)
    except Refusal:
        deps.sheets.give_back(sheet)  # nobody has seen it
        raise


def _activate_with(deps: Deps, command: Confirm, step: TimeStep, sheet: HashedSheet) -> list[str]:
    """One transaction: active, its first step used up, a new sheet, the event."""
    codes = [code.format() for code, _ in sheet]
    now = deps.clock()
    event = AuthenticatorEnrolled(
        id=new_id("evt"),
        occurred_at=now,
        account_id=command.account_id,
        authenticator_id=command.enrollment_id,
        session_id=session_of(command.session_id) if command.session_id else None,
    )
    try:
        with writing(deps.database) as connection:
            sessions_store.hold(connection, command.account_id, command.session_id)
            if not store.activate(connection, command.enrollment_id, step, now):
                raise Refusal("enrollment_expired")
            sheet_id = recovery_code_store.replace_recovery_codes(connection, command.account_id, sheet, now)
            outbox.record(connection, outbox_tables, event, deps.signer)
            # 2FA is turned on while Redis is down, too: a repeat then finds no answer, and the gateway ends the texts.
            with contextlib.suppress(RedisError):
                sms_store.forget_account(deps.redis, command.account_id, frozenset(Purpose))
                older_key_store.forget(deps.redis, command.account_id)
                if command.call is not None:
                    answer_store.keep(deps.redis, deps.secret_box, command.call, Answer(sheet_id, tuple(codes)), now)
            require_time()
    except IntegrityError:
        raise Refusal("two_factor_already_on") from None
    return codes


def _record(deps: Deps, command: Confirm, outcome: Outcome, charge: Charge) -> None:
    def settle(pipeline: Pipeline) -> None:
        budgets.queue_refund(pipeline, charge)

    row = attempt_row(outcome, command.account_id, PURPOSE, deps.clock(), device_known=False)
    # Not a second factor yet: it counts for the hard stop neither way.
    deps.recorder.record(
        Attempt(
            row,
            outcome,
            second_factor=False,
            settle=settle if isinstance(outcome, Verified) else None,
            braked_by=charge,
        )
    )
