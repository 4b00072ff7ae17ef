"""Authenticators in SQL, and all that one attempt reads. The claim is one statement whose row count is the answer."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, String, and_, bindparam, delete, insert, or_, select, text, update

from services.otp.domain.attempt import Claim
from services.otp.domain.failure_row import FailureRow
from services.otp.domain.pending import PendingAuthenticator
from services.otp.domain.sealed import Sealed
from services.otp.domain.session_id import session_of
from services.otp.domain.time_step import NEVER, TimeStep
from services.otp.limits import ACCEPTED_AGAIN_FOR
from services.otp.models import (
    ACTIVE,
    PENDING,
    REVOKED,
    TOTP,
    authenticators,
    begun_by,
    recovery_codes,
    verification_states,
)
from shared.database import PlainRead
from shared.dialects import insert_for


@dataclass(frozen=True, slots=True)
class StoredAuthenticator:
    """What a comparison needs of the active authenticator. ``last_accepted_for``: the occasion of the last step.

    ``suspended``: it was stolen, and a reset of it is under way.
    """

    id: str
    sealed: Sealed
    last_accepted_step: TimeStep
    last_accepted_for: str | None
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class StoredRecoveryCode:
    """What a comparison needs of a recovery code. ``spent_for``: the occasion."""

    id: str
    hash: str
    spent: bool
    spent_for: str | None


@dataclass(frozen=True, slots=True)
class VerificationState:
    """All that one attempt reads. Without an active authenticator 2FA is off, and nothing else matters."""

    failures: Mapping[FailureRow, int]
    authenticator: StoredAuthenticator | None
    recovery_code: StoredRecoveryCode | None


_TWO_FACTOR_OFF = VerificationState({}, None, None)

_a, _r, _s = authenticators.c, recovery_codes.c, verification_states.c
_state_columns = (
    _s.strangers_failures,
    _s.consecutive_failures,
    _a.id,
    _a.key_id,
    _a.ciphertext,
    _a.last_accepted_step,
    _a.last_accepted_for,
    _a.suspended_for,
)
_state_tables = authenticators.outerjoin(verification_states, _s.account_id == _a.account_id)
_active = and_(_a.account_id == bindparam("account", type_=String(80)), _a.kind == TOTP, _a.status == ACTIVE)
# One SELECT an attempt.
_READ_STATE = PlainRead(select(*_state_columns).select_from(_state_tables).where(_active))
_READ_STATE_AND_CODE = PlainRead(
    select(
        *_state_columns,
        _r.id.label("code_id"),
        _r.hash.label("code_hash"),
        _r.spent_at.is_not(None).label("code_spent"),
        _r.spent_for.label("code_spent_for"),
    )
    .select_from(
        _state_tables.outerjoin(
            recovery_codes,
            and_(_r.account_id == _a.account_id, _r.selector == bindparam("selector", type_=String(1))),
        )
    )
    .where(_active)
)
_CLAIM_STEP = (
    update(authenticators)
    .where(
        _a.id == bindparam("authenticator"),
        _a.status == ACTIVE,
        _a.suspended_for.is_(None),
        _a.last_accepted_step < bindparam("step"),
    )
    .values(
        last_accepted_step=bindparam("step"), last_accepted_for=bindparam("occasion"), last_used_at=bindparam("now")
    )
)
# Apart, because a database writes an index for a column that is set, even to what it was.
_CLAIM_STEP_AND_RENEW = _CLAIM_STEP.values(key_id=bindparam("new_key_id"), ciphertext=bindparam("new_ciphertext"))


def read_state(connection: Connection, account_id: str) -> VerificationState:
    """The active authenticator and the failures so far."""
    row = _READ_STATE.one_or_none(connection, account=account_id)
    if row is None:
        return _TWO_FACTOR_OFF
    of_strangers, of_all, *authenticator = row
    return VerificationState(_failures(of_strangers, of_all), _authenticator(*authenticator), None)


def read_state_and_code(connection: Connection, account_id: str, selector: str) -> VerificationState:
    """The same and the recovery code of that number."""
    row = _READ_STATE_AND_CODE.one_or_none(connection, account=account_id, selector=selector)
    if row is None:
        return _TWO_FACTOR_OFF
    of_strangers, of_all, *authenticator, code_id, code_hash, spent, spent_for = row
    code = None if code_id is None else StoredRecoveryCode(code_id, code_hash, bool(spent), spent_for)
    return VerificationState(_failures(of_strangers, of_all), _authenticator(*authenticator), code)


def _failures(of_strangers: int | None, of_all: int | None) -> Mapping[FailureRow, int]:
    return {FailureRow.STRANGERS: of_strangers or 0, FailureRow.ALL: of_all or 0}


def _authenticator(
    id_: str,
    key_id: str,
    ciphertext: bytes,
    last_accepted_step: int,
    last_accepted_for: str | None,
    suspended_for: str | None,
) -> StoredAuthenticator:
    step = TimeStep(last_accepted_step)
    return StoredAuthenticator(id_, Sealed(key_id, ciphertext), step, last_accepted_for, suspended_for is not None)


def claim_step(
    connection: Connection,
    authenticator_id: str,
    step: TimeStep,
    occasion: str,
    now: datetime,
    renewed: Sealed | None = None,
) -> Claim:
    """Use up a time step and all before it (RFC 6238 §5.2); LOST when it or a later one was used, or 2FA is off.

    The claim also stores what the code was used up for, so a repeated request finds it even if this process dies.
    ``renewed`` is the secret under a newer key, stored by the same statement. The statement does not compare the old
    ciphertext: an id has one secret as long as it lives, and a code must not be refused because its secret was moved.
    """
    claim = {"authenticator": authenticator_id, "step": step, "occasion": occasion, "now": now}
    statement = _CLAIM_STEP
    if renewed is not None:
        statement = _CLAIM_STEP_AND_RENEW
        claim |= {"new_key_id": renewed.key_id, "new_ciphertext": renewed.ciphertext}
    if connection.execute(statement, claim).rowcount == 1:
        return Claim.WON
    same = select(_a.id).where(
        _a.id == authenticator_id,
        _a.status == ACTIVE,
        _a.last_accepted_step == step,
        _a.last_accepted_for == occasion,
        _a.last_used_at > now - ACCEPTED_AGAIN_FOR,
    )
    return Claim.LOST if connection.execute(same).first() is None else Claim.REPEATED


def note_recovery_code(connection: Connection, authenticator_id: str, code_id: str, now: datetime) -> None:
    """Note at the authenticator that this recovery code, if it is unspent, is used in its place.

    Call it before the claim of the code, because every change of an account's 2FA locks the authenticator first.
    """
    unspent = select(_r.id).where(_r.id == code_id, _r.spent_at.is_(None)).exists()
    statement = update(authenticators).where(_a.id == authenticator_id, _a.status == ACTIVE, unspent)
    connection.execute(statement.values(recovery_code_used_at=now))


# --- authenticators ---------------------------------------------------------------------------------------------------


def is_on(connection: Connection, account_id: str, *, hold: bool = False) -> bool:
    """Whether an authenticator is active; ``hold`` keeps it so until the transaction ends."""
    query = select(_a.id).where(_a.account_id == account_id, _a.kind == TOTP, _a.status == ACTIVE)
    return connection.execute(query.with_for_update() if hold else query).first() is not None


def those_on(connection: Connection, account_ids: Collection[str]) -> frozenset[str]:
    """Those of these accounts that have an active authenticator."""
    query = select(_a.account_id).where(_a.account_id.in_(account_ids), _a.kind == TOTP, _a.status == ACTIVE)
    return frozenset(connection.execute(query).scalars())


@dataclass(frozen=True, slots=True)
class NewAuthenticator:
    """An authenticator to be stored."""

    id: str
    account_id: str
    label: str
    sealed: Sealed
    created_at: datetime
    session_id: str | None = None

    def row(self, status: str) -> dict[str, Any]:
        """Its columns."""
        return {
            "id": self.id,
            "account_id": self.account_id,
            "kind": TOTP,
            "label": self.label,
            "status": status,
            "key_id": self.sealed.key_id,
            "ciphertext": self.sealed.ciphertext,
            "last_accepted_step": NEVER,
            "created_at": self.created_at,
            "session_id": self.session_id,
        }


# As text: the database matches this condition with its index's, and a bound value is nothing to match.
_PENDING_ONLY = text("status = 'PENDING'")


def put_pending(connection: Connection, new: NewAuthenticator, expires_at: datetime) -> None:
    """Let it wait to be confirmed, in the place of the one that waited before."""
    row = {**new.row(PENDING), "expires_at": expires_at}
    connection.execute(
        insert_for(connection, authenticators)
        .values(row)
        .on_conflict_do_update(index_elements=[_a.account_id, _a.kind], index_where=_PENDING_ONLY, set_=row)
    )


def put_active(connection: Connection, new: NewAuthenticator) -> None:
    """Store one that is proven elsewhere. Raises IntegrityError when one is active."""
    connection.execute(insert(authenticators).values({**new.row(ACTIVE), "confirmed_at": new.created_at}))


_pending_columns = (_a.id, _a.label, _a.key_id, _a.ciphertext, _a.created_at, _a.expires_at, _a.session_id)


def find_pending(connection: Connection, account_id: str) -> PendingAuthenticator | None:
    """The account's last enrollment that was not confirmed, whichever session began it."""
    query = select(*_pending_columns).where(_a.account_id == account_id, _a.status == PENDING)
    return _pending(connection.execute(query).first())


def take_pending(connection: Connection, account_id: str, session_ids: Sequence[str]) -> PendingAuthenticator | None:
    """Delete the enrollment that one of these sessions has begun, and return it."""
    if not session_ids:
        return None
    begun = or_(*(begun_by(session_id) for session_id in session_ids))
    statement = delete(authenticators).where(_a.account_id == account_id, _a.status == PENDING, begun)
    return _pending(connection.execute(statement.returning(*_pending_columns)).first())


def _pending(row: Any) -> PendingAuthenticator | None:  # noqa: ANN401 - a row of these columns, or None
    if row is None:
        return None
    sealed = Sealed(row.key_id, row.ciphertext)
    return PendingAuthenticator(row.id, row.label, sealed, row.created_at, row.expires_at, row.session_id)


def read_pending(
    connection: Connection, account_id: str, enrollment_id: str, session_id: str | None, now: datetime
) -> Sealed | None:
    """The sealed secret of an enrollment that this session can still confirm."""
    anyone = _a.session_id.is_(None)
    by = anyone if session_id is None else or_(anyone, begun_by(session_of(session_id)))
    query = select(_a.key_id, _a.ciphertext).where(
        _a.id == enrollment_id,
        _a.account_id == account_id,
        _a.status == PENDING,
        _a.expires_at > now,
        by,
    )
    row = connection.execute(query).first()
    return None if row is None else Sealed(row.key_id, row.ciphertext)


def activate(connection: Connection, enrollment_id: str, step: TimeStep, now: datetime) -> bool:
    """PENDING becomes ACTIVE with its first step used up; False when it no longer waits.

    Raises IntegrityError when another one became active meanwhile.
    """
    statement = (
        update(authenticators)
        .where(_a.id == enrollment_id, _a.status == PENDING, _a.expires_at > now)
        .values(status=ACTIVE, last_accepted_step=step, confirmed_at=now, last_used_at=now, expires_at=None)
    )
    return connection.execute(statement).rowcount == 1


def revoke_all(connection: Connection, account_id: str, now: datetime) -> int:
    """Revoke what is active, with its secret wiped, and forget what waits; how many were active."""
    connection.execute(delete(authenticators).where(_a.account_id == account_id, _a.status == PENDING))
    statement = (
        update(authenticators)
        .where(_a.account_id == account_id, _a.status == ACTIVE)
        .values(status=REVOKED, revoked_at=now, key_id=None, ciphertext=None)
    )
    return connection.execute(statement).rowcount


@dataclass(frozen=True, slots=True)
class ActiveAuthenticator:
    """An authenticator as its owner sees it. ``suspended``: it was stolen, and a reset of it is under way."""

    id: str
    kind: str
    label: str
    confirmed_at: datetime
    last_used_at: datetime | None
    suspended: bool


def list_active(connection: Connection, account_id: str) -> list[ActiveAuthenticator]:
    """What the owner may see of the active authenticators."""
    is_suspended = _a.suspended_for.is_not(None)
    query = select(_a.id, _a.kind, _a.label, _a.confirmed_at, _a.last_used_at, is_suspended)
    rows = connection.execute(query.where(_a.account_id == account_id, _a.status == ACTIVE))
    return [ActiveAuthenticator(*row) for row in rows]
