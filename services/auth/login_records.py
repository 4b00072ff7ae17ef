"""The timeline entries and notices of a login."""

from contextlib import suppress
from datetime import datetime

from redis.exceptions import RedisError
from sqlalchemy import Connection

from services.auth import guessing_brake, limits, notices
from services.auth.challenge_store import LoginChallenge
from services.auth.deps import Client, Deps, subject
from services.auth.domain.account import Account
from services.auth.domain.browsers import describe
from services.auth.domain.network import networks_of
from services.auth.domain.notice_texts import Kind
from services.auth.domain.session import Session
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge
from shared.database import writing
from shared.email_address import email_key


def refused_password(deps: Deps, client: Client, account: Account | None, email: str, now: datetime) -> None:
    """Record a wrong password, for an unknown address too (ASVS 16.3.1), so that both take the same time (ASVS 6.3.8).

    A person may have typed a password in place of the address, so only a keyed digest is kept. It shows how many
    addresses were tried.
    """
    address = subject(deps, "email", email_key(email))
    account_id, details = (None, {"address": address}) if account is None else (account.id, {})
    with writing(deps.database) as connection:
        timeline.write(connection, account_id, Entry.PASSWORD_REFUSED, now, ip=client.ip, **details)


def accepted_password(deps: Deps, client: Client, account: Account, challenge_id: str, now: datetime) -> None:
    """Record a right password that stops at the code; tell the owner when its network or its browser is a new place.

    The entries of one login name its challenge, so that a timeline can show them together.

    Beyond the limits nothing is recorded and nobody is told, so no caller can fill the timeline. Raises RedisError.
    """
    network = subject(deps, "ip", networks_of(client.ip).whole)
    charges = Charge(limits.ACCEPTED_NETWORK, f"{account.id}:{network}"), Charge(limits.ACCEPTED, account.id)
    if not budgets.take(deps.redis, *charges).allowed:
        return
    with budgets.given_back_on_outage(deps.redis, *charges), writing(deps.database) as connection:
        is_new = _is_new_place(connection, client, account, now)
        timeline.write(
            connection,
            account.id,
            Entry.PASSWORD_ACCEPTED,
            now,
            ip=client.ip,
            browser=client.browser,
            challenge_id=challenge_id,
        )
        if is_new:
            notices.tell(connection, deps, account, Kind.PASSWORD_ACCEPTED, now, ip=client.ip, browser=client.browser)


def _is_new_place(connection: Connection, client: Client, account: Account, now: datetime) -> bool:
    """Whether no right password of 30 days came from this network, or none from a browser of this name."""
    since, entries = now - limits.PLACE_KNOWN_FOR, (Entry.SIGNED_IN, Entry.PASSWORD_ACCEPTED)
    places = timeline.places_since(connection, account.id, entries, since, limit=limits.PLACES_READ)
    networks = {networks_of(ip).whole for ip in {ip for ip, _ in places}}
    # An entry of an earlier release holds what the client wrote.
    browsers = {describe(browser) for browser in {browser for _, browser in places}}
    return networks_of(client.ip).whole not in networks or client.browser not in browsers


def sign_in(connection: Connection, session: Session, client: Client, challenge_id: str | None = None) -> None:
    """Record the sign-in: its session and factors, and the challenge that a code has answered."""
    challenge = {} if challenge_id is None else {"challenge_id": challenge_id}
    timeline.write(
        connection,
        session.account_id,
        Entry.SIGNED_IN,
        session.authenticated_at,
        ip=client.ip,
        session_id=session.id,
        factors=list(session.factors),
        browser=client.browser,
        **challenge,
    )


def wrong_code(deps: Deps, challenge: LoginChallenge, client: Client, now: datetime, *, is_guess: bool) -> None:
    """Count a wrong code after a right password, and tell the owner of every fifth, however slow the guesses are.

    The count keeps each wrong code until the notice that tells of it is committed. So when a notice fails, a reply of
    Redis is lost or the gateway is killed, the next wrong code tells of the missed ones. Two codes at the same moment
    may be told of twice. Raises RedisError, Unavailable.
    """
    untold = guessing_brake.note_wrong_code(deps, challenge.account_id, now, is_guess=is_guess)
    if untold < limits.WRONG_CODES_A_NOTICE:
        return
    with writing(deps.database) as connection:
        account = accounts.by_id(connection, challenge.account_id)
        if account is not None:
            timeline.write(
                connection,
                account.id,
                Entry.SECOND_FACTOR_FAILED,
                now,
                ip=client.ip,
                browser=client.browser,
                challenge_id=challenge.id,
            )
            notices.tell(
                connection,
                deps,
                account,
                Kind.SECOND_FACTOR_FAILED,
                now,
                ip=client.ip,
                browser=client.browser,
                count=untold,
            )
    with suppress(RedisError):  # when this fails, the next wrong code tells of them again
        budgets.refund(deps.redis, guessing_brake.wrong_codes_of(challenge.account_id), tries=untold)
