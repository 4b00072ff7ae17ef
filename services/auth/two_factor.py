"""Turning 2FA on and off: otp does it, auth ends what was signed in before."""

from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection

from services.auth import account_language, consequences, enrollment_words, limits
from services.auth.consequences import Acting
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.domain.consequences import Change
from services.auth.domain.session import Factor
from services.auth.store import devices, timeline
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge
from shared.event_queue import STORE_ERRORS
from shared.problems import Refusal, Unavailable

log = structlog.get_logger("auth.two_factor")


def begin(deps: Deps, client: Client, account: Account, acting: Acting, word: str | None) -> dict[str, Any]:
    """A new pending authenticator, which ends with the session; with its one-time word where the account must enrol.

    Raises Refusal two_factor_already_on, enrollment_word_required, invalid_enrollment_word, too_many_requests.
    """
    enrollment_words.require(deps, client, account, acting.session, word)
    return deps.otp.begin_enrollment(account.id, account.email, acting.session.call_id)


def show(deps: Deps, account: Account, acting: Acting) -> dict[str, Any]:
    """The pending authenticator that this session has begun, again, as after a reload.

    Another session never sees its key. Raises Refusal enrollment_expired, too_many_requests.
    """
    return deps.otp.show_enrollment(account.id, acting.session.call_id)


def cancel(deps: Deps, account: Account, acting: Acting) -> None:
    """End the pending authenticator that this session has begun, if there is one. Raises Refusal not_authenticated."""
    deps.otp.cancel_enrollment(account.id, acting.session.call_id)


def confirm(
    deps: Deps, account: Account, acting: Acting, enrollment_id: str, code: str, language: str
) -> tuple[list[str], Acting]:
    """2FA is on from here: the recovery codes, shown once, and the session under its new token.

    ``language`` is that of the request; an account without one gets it. Every other session ends
    (CVE-2023-31140). Raises Refusal invalid_passcode, enrollment_expired, too_many_requests, not_authenticated.
    """
    codes = deps.otp.confirm_enrollment(account.id, enrollment_id, code, acting.session.call_id)
    speaks = partial(account_language.keep_first, deps=deps, account=account, language=language)
    return codes, _end_what_was_before(
        deps, Change.FACTOR_ADDED, account, acting, shows=(Factor.TOTP,), cause=enrollment_id, also=speaks
    )


def disable(deps: Deps, account: Account, acting: Acting) -> Acting:
    """2FA is off from here: the session as it lives on. Raises Refusal two_factor_off, not_authenticated."""
    event_id = deps.otp.disable(account.id, acting.session.call_id)
    return _end_what_was_before(deps, Change.FACTOR_REMOVED, account, acting, cause=event_id)


def finish_disable(deps: Deps, account: Account, acting: Acting) -> Acting | None:
    """Do the gateway's part of a disable that otp did for this session a moment ago; None when otp did none.

    otp's event may have closed the session's step-up window before the gateway heard otp's answer, so this needs none.
    """
    try:
        event_id = deps.otp.disable(account.id, acting.session.call_id, only_repeat=True)
    except Refusal:
        return None
    return _end_what_was_before(deps, Change.FACTOR_REMOVED, account, acting, cause=event_id)


def let_strangers_try(deps: Deps, client: Client, acting: Acting) -> None:
    """End the row of wrong codes from browsers that the account does not know, by the word of its owner.

    Only a browser that the account knows may say it, three times a day. A repeat is one more such word. Raises Refusal
    browser_not_known, too_many_requests, not_authenticated; Unavailable, and the row may have ended all the same.
    """
    account_id, device_id = acting.session.account_id, acting.session.device_id
    if device_id is None:
        raise Refusal("browser_not_known")
    charge = Charge(limits.STRANGERS_LET_TRY, device_id)
    budgets.take(deps.redis, charge).require()
    with (
        budgets.given_back_on_outage(deps.redis, charge),
        consequences.changing(deps, Change.STRANGERS_LET_TRY, account_id, acting=acting, otp=deps.otp) as changing,
    ):
        connection, now = changing.connection, changing.now
        if not devices.is_known(connection, account_id, device_id, now):
            raise Refusal("browser_not_known")
        facts = {"ip": client.ip, "device_id": device_id, "browser": client.browser}
        timeline.write(connection, account_id, Entry.STRANGERS_LET_TRY, now, **facts)


def regenerate_recovery_codes(deps: Deps, account: Account, acting: Acting, key: str | None) -> list[str]:
    """Make a new sheet of recovery codes; with a key, a repeat within a minute gets the same sheet.

    Raises Refusal two_factor_off, not_authenticated, too_many_requests.
    """
    return deps.otp.regenerate_recovery_codes(account.id, acting.session.call_id, key)


def _end_what_was_before(
    deps: Deps,
    change: Change,
    account: Account,
    acting: Acting,
    *,
    shows: tuple[Factor, ...] = (),
    cause: str | None = None,
    also: Callable[[Connection], None] | None = None,
) -> Acting:
    """Apply the row of the change, and what happens ``also`` in its transaction.

    otp has made the change, and its answer (backup codes, shown once) must reach the owner, so a failure here is not
    raised. otp's event applies the row too: when a part is down, or the gateway dies here, things stay open only until
    the event arrives.
    """
    changing = None
    try:
        with consequences.changing(deps, change, account.id, acting=acting, otp=deps.otp, cause=cause) as changing:
            changing.shows = shows
            if also is not None:
                also(changing.connection)
    except (*STORE_ERRORS, Unavailable):
        log.warning("sessions are left to the event", account_id=account.id)
    return (changing and changing.acting) or acting
