"""Compare, then claim: what each shape of code can be, and the one statement that uses it up."""

from dataclasses import dataclass

from redis.exceptions import RedisError
from sqlalchemy import Connection

from services.otp import clock_store, recovery_code_store, sms_store, store
from services.otp.deps import Deps
from services.otp.domain import clock_coach
from services.otp.domain.attempt import Brake, Claim, Outcome, Reason, Rejected, Throttled, Verified, Verify
from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import PURPOSES, Factor
from services.otp.domain.recovery_code import RecoveryCode
from services.otp.domain.time_step import TimeStep, step_at
from services.otp.domain.totp import VALIDATION_WINDOW, SharedSecret, match_step
from services.otp.limits import failure_rows, spent_row
from services.otp.models import outbox as outbox_tables
from services.otp.sms_store import LivePasscode, Slot
from services.otp.store import StoredAuthenticator, VerificationState
from shared import outbox
from shared.clock import unix_seconds
from shared.database import claiming, reading, writing
from shared.deadline import require_time
from shared.hashing import decoy_hash
from shared.ids import new_id
from shared.messages import RecoveryCodeSpent
from shared.problems import Refusal

WRONG = Rejected(Reason.WRONG)


@dataclass(frozen=True, slots=True)
class Trial:
    """One counted attempt with all that was read for it."""

    deps: Deps
    command: Verify
    passcode: Passcode
    step: TimeStep
    live: list[LivePasscode]
    accepted: list[LivePasscode]
    authenticator: StoredAuthenticator | None
    secret: SharedSecret | None


def by_passcode(
    deps: Deps, command: Verify, passcode: Passcode, live: list[LivePasscode], accepted: list[LivePasscode]
) -> Outcome:
    """Six digits: of the app, or of a live text (or of one that was accepted a moment ago).

    Raises two_factor_off, and Unavailable for a secret without a key; never after it found the code wrong.
    """
    factors = PURPOSES[command.purpose].factors
    with reading(deps.database) as connection:
        state = store.read_state(connection, command.account_id)
        if (brake := _brake(command, state)) is not None:
            return brake
        if (
            state.authenticator is not None
            and state.authenticator.suspended
            and PURPOSES[command.purpose].second_factor
        ):
            return WRONG  # stolen: the thief who has the app has the phone that texts go to
        authenticator = state.authenticator if Factor.TOTP in factors else None
        secret = _open(deps, command, authenticator)
        step = step_at(unix_seconds(deps.totp_clock()))
        trial = Trial(deps, command, passcode, step, live, accepted, authenticator, secret)
        # The claim takes the connection of the read: a second checkout costs as much as the statement.
        totp = _totp(trial, connection)
    if isinstance(totp, Verified):
        return totp
    sms = _sms(trial) if Factor.SMS in factors else WRONG
    if isinstance(sms, Verified):
        return sms
    refused = max(totp, sms, key=lambda outcome: outcome.reason)
    return _coach(trial) if refused.reason is Reason.WRONG else refused


def by_recovery_code(deps: Deps, command: Verify, code: RecoveryCode) -> Outcome:
    """A recovery code: one row, one hash, also where there is no row, so that the time doesn't tell (ASVS 6.3.8).

    Raises two_factor_off, and Unavailable when the hashing pool is full; never after it found the code wrong.
    """
    with reading(deps.database) as connection:
        state = store.read_state_and_code(connection, command.account_id, code.selector)
    if (brake := _brake(command, state)) is not None:
        return brake
    if Factor.RECOVERY_CODE not in PURPOSES[command.purpose].factors:
        return WRONG
    stored = state.recovery_code
    matches = deps.hashing.verify(stored.hash if stored else decoy_hash(deps.hashing), code.secret)
    if stored is None or not matches:
        return WRONG
    if stored.spent and stored.spent_for != command.occasion:
        return Rejected(Reason.SPENT)
    now = deps.clock()
    with writing(deps.database) as connection:
        require_time()
        if state.authenticator is not None:
            store.note_recovery_code(connection, state.authenticator.id, stored.id, now)
        claim = recovery_code_store.claim_recovery_code(connection, stored.id, command.occasion, now)
        if claim is Claim.LOST:
            return Rejected(Reason.SPENT)
        remaining, _ = recovery_code_store.count_recovery_codes(connection, command.account_id)
        if claim is Claim.WON:
            event = RecoveryCodeSpent(
                id=new_id("evt"), occurred_at=now, account_id=command.account_id, remaining=remaining
            )
            outbox.record(connection, outbox_tables, event, deps.signer)
    return Verified(Factor.RECOVERY_CODE, remaining, repeated=claim is Claim.REPEATED)


def _brake(command: Verify, state: VerificationState) -> Throttled | None:
    """A spent row of failures as SQL remembers it, should Redis have lost its count. Raises two_factor_off."""
    if not PURPOSES[command.purpose].second_factor:
        return None
    rows = failure_rows(command.purpose, command.account_id, command.binding, command.device_id)
    spent = spent_row(rows, state.failures) if command.six_digits else None
    if spent is not None:
        return Throttled(Brake.HARD_STOP, spent=spent)
    if state.authenticator is None:
        raise Refusal("two_factor_off")
    return None


def _is_suspended(command: Verify, state: VerificationState) -> bool:
    """Whether the app was stolen. Its thief has the phone that texts go to as well, so no six digits count."""
    stored = state.authenticator
    return PURPOSES[command.purpose].second_factor and stored is not None and stored.suspended


def _open(deps: Deps, command: Verify, authenticator: StoredAuthenticator | None) -> SharedSecret | None:
    if authenticator is None:
        return None
    return deps.secret_box.open(authenticator.sealed, command.account_id, authenticator.id)


def _totp(trial: Trial, connection: Connection) -> Verified | Rejected:
    stored, occasion = trial.authenticator, trial.command.occasion
    if stored is None or trial.secret is None:
        return WRONG
    at = trial.step
    step = match_step(trial.secret, trial.passcode, at, after=stored.last_accepted_step)
    if step is None:
        window_was_used = stored.last_accepted_step >= at - VALIDATION_WINDOW
        step = match_step(trial.secret, trial.passcode, at) if window_was_used else None
        if step is None:
            return WRONG
        if (step, occasion) != (stored.last_accepted_step, stored.last_accepted_for):
            return Rejected(Reason.REPLAYED)
    renewed = trial.deps.secret_box.renewed(stored.sealed, trial.secret, trial.command.account_id, stored.id)
    with claiming(connection):
        require_time()
        claim = store.claim_step(connection, stored.id, step, occasion, trial.deps.clock(), renewed)
    return _claimed(claim, Factor.TOTP)


def _sms(trial: Trial) -> Verified | Rejected:
    command = trial.command
    slot = Slot(command.account_id, command.purpose, command.binding)
    passcode = sms_store.match(slot, [*trial.live, *trial.accepted], trial.passcode, trial.deps.digest_keys)
    if passcode is None:
        return WRONG
    require_time()
    return _claimed(sms_store.claim(trial.deps.redis, slot, passcode), Factor.SMS)


def _claimed(claim: Claim, factor: Factor) -> Verified | Rejected:
    if claim is Claim.LOST:
        return Rejected(Reason.REPLAYED)
    return Verified(factor, repeated=claim is Claim.REPEATED)


def _coach(trial: Trial) -> Rejected:
    """A wrong code, unless it is right at another time. Redis is touched only then.

    It is known to be wrong by here, so a Redis that has gone away meanwhile silences the coach and changes no answer.
    """
    if trial.secret is None or trial.authenticator is None:
        return WRONG
    seen = clock_coach.observe(trial.secret, trial.passcode, trial.step)
    if seen is None:
        return WRONG
    try:
        earlier = clock_store.exchange(trial.deps.redis, trial.authenticator.id, seen)
    except RedisError:
        earlier = None
    agreed = earlier is not None and seen.confirms(earlier)
    return Rejected(Reason.CLOCK_SKEW, seen.skew_seconds, coach_may_speak=agreed)
