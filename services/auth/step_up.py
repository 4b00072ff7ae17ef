"""Step-up: a fresh proof before a call that changes something important (ASVS 7.5.1).

There are two windows. A texted code opens the small one, which is enough to change the password. Every other second
factor opens the full one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.auth import limits, password_form, reset_steps, session_store, sms_request, spent_failures
from services.auth.consequences import Acting
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.domain.session import Factor, Session, StepUp
from services.auth.sms_request import SentCode, SmsOrder
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge
from shared.database import reading, writing
from shared.hashing import decoy_hash
from shared.problems import IN_SESSION, Refusal
from shared.texts.languages import DEFAULT_LANGUAGE

TOO_MANY_WRONG_CODES = "This session has ended after too many wrong codes. Sign in again."


@dataclass(frozen=True, slots=True)
class Window:
    """An open step-up window."""

    step_up: StepUp
    ends_at: datetime


def send_code(
    deps: Deps, client: Client, account: Account, session: Session, language: str = DEFAULT_LANGUAGE
) -> SentCode:
    """Text a code that, with the password, opens the small window of this session.

    The text counts against the limits of known browsers. ``language`` is that of the request, for an account that has
    none.

    Raises Refusal sms_unavailable, two_factor_off, too_many_requests; Unavailable.
    """
    if account.phone is None:
        raise Refusal("sms_unavailable")
    order = SmsOrder(account, "step_up", session.id, account.phone, session.device_id, language=language)
    return sms_request.send_code(deps, client, order)


def reauthenticate(
    deps: Deps, client: Client, account: Account, acting: Acting, *, password: str, code: str | None
) -> Session:
    """Open a step-up window: password, and with 2FA on a code too. The session as it stands now.

    The tries come from a budget of the session's own. So a stolen session is no password oracle beside the login's, and
    what it spends holds out no other session.
    After ten wrong codes in a row the session ends. Raises Refusal invalid_credentials, invalid_passcode,
    too_many_requests, not_authenticated; Unavailable.
    """
    now, session = deps.clock(), acting.session
    charge = Charge(limits.REAUTHENTICATE, session.id)
    taken = budgets.take(deps.redis, charge).require()
    with budgets.given_back_on_outage(deps.redis, charge):
        try:
            factors = _proven(deps, account, session, password, code)
        except Refusal as refused:
            if refused.code in IN_SESSION:  # a wrong password or code
                taken.tell_last_tries(refused, charge.rate)
            ids = {"device_id": session.device_id, "session_id": session.id}
            if spent_failures.end(deps, client, refused, account.id, **ids):
                raise Refusal("not_authenticated", detail=TOO_MANY_WRONG_CODES) from refused
            raise
        # The row first, the window before the commit: what can't be recorded opens nothing, and otp accepts the same
        # code again for a minute. A commit that fails leaves the window open, because the proof was given. The gateway
        # then answers 503, and the next try records it.
        with writing(deps.database) as connection:
            accounts.hold(connection, account.id)  # as the request of a reset does, so one of the two sees the other
            proof: dict[str, Any] = {"session_id": session.id, "factors": list(factors)}
            timeline.write(connection, account.id, Entry.STEPPED_UP, now, ip=client.ip, **proof)
            reset_steps.owner_proved(connection, deps, account, factors[-1], now)
            proven = session_store.step_up(deps.redis, session, acting.token, now, factors)
            if proven is None:
                raise Refusal("not_authenticated")
    budgets.refund(deps.redis, charge)
    return proven


def is_password(deps: Deps, account: Account, password: str) -> bool:
    """Whether this is the account's password. The caller counts the try. Raises Unavailable."""
    with reading(deps.database) as connection:
        stored = accounts.password(connection, account.id)
    return password_form.verify(deps.hashing, stored, password, decoy_hash(deps.hashing))


def _proven(deps: Deps, account: Account, session: Session, password: str, code: str | None) -> tuple[Factor, ...]:
    if not is_password(deps, account, password):
        raise Refusal("invalid_credentials", detail="The password is wrong.", extra={"cause": "password"})
    if not deps.otp.state(account.id).enabled:
        return (Factor.PASSWORD,)
    if code is None:
        raise Refusal(
            "validation_failed", extra={"errors": {"code": ["Two-factor authentication is on: send a code."]}}
        )
    verified = deps.otp.verify(account.id, code, "step_up", session.id, session.device_id)
    return Factor.PASSWORD, Factor(verified.factor)


def window(session: Session, now: datetime) -> Window | None:
    """The window that is open; the full one where both are."""
    for step_up, at in ((StepUp.FULL, session.stepped_up_at), (StepUp.SMALL, session.small_step_up_at)):
        if at is not None and now - at <= limits.STEP_UP_LIFE:
            return Window(step_up, at + limits.STEP_UP_LIFE)
    return None


def suffices(session: Session, needed: StepUp, now: datetime) -> bool:
    """Whether the open window is enough for a call that needs this one."""
    opened = window(session, now)
    return opened is not None and (needed is StepUp.SMALL or opened.step_up is StepUp.FULL)
