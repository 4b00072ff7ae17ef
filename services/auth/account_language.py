"""The language of an account: its notices, texts and calls are in it."""

from datetime import datetime

from sqlalchemy import Connection

from services.auth import consequences, notices
from services.auth.consequences import Acting
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.domain.notice_texts import Kind, LanguageName
from services.auth.limits import LANGUAGE_CHANGE, NOTICE_LIFE
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge
from shared.texts.languages import ours


def choose(deps: Deps, client: Client, account: Account, acting: Acting, language: str) -> None:
    """Remember the language that the owner has chosen.

    A choice that changes nothing pays nothing. Raises Refusal not_authenticated, too_many_requests; Unavailable.
    """
    charge = Charge(LANGUAGE_CHANGE, acting.session.id)
    budgets.take(deps.redis, charge).require()
    with budgets.given_back_on_outage(deps.redis, charge), consequences.holding(deps, acting) as connection:
        changed = accounts.set_language(connection, account.id, language)
        if changed:
            record(connection, deps, account, language, deps.clock(), ip=client.ip)
    if not changed:
        budgets.refund(deps.redis, charge)


def keep_first(connection: Connection, *, deps: Deps, account: Account, language: str) -> None:
    """Give an account without a language this one, in the caller's transaction.

    An account that must enroll keeps none: after a reset, the password alone opens its session.
    """
    if not account.must_enroll and accounts.set_language(connection, account.id, language, only_first=True):
        record(connection, deps, account, language, deps.clock())


def record(
    connection: Connection, deps: Deps, account: Account, language: str, now: datetime, *, ip: str | None = None
) -> None:
    """Tell of a change in the language so far, because the thief of a session may choose one that the owner can't read.

    ``account`` is the account before the change. Nothing is told where the owner notices nothing.
    """
    if ours(account.language) == language:
        return
    timeline.write(connection, account.id, Entry.LANGUAGE_CHANGED, now, ip=ip, language=language)
    deadline, name = now + NOTICE_LIFE, LanguageName(language)
    notices.mail(connection, deps, account, Kind.LANGUAGE_CHANGED, now, deadline=deadline, language=name)
