"""The language of an account: its notices, texts and calls are in it."""

from services.auth import consequences
from services.auth.consequences import Acting
from services.auth.deps import Client, Deps
from services.auth.limits import LANGUAGE_CHANGE
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge


def choose(deps: Deps, client: Client, acting: Acting, language: str) -> None:
    """Remember the language that the owner has chosen.

    A change leaves an entry in the timeline, because the thief of a session could choose a language that the owner does
    not read. Raises Refusal not_authenticated, too_many_requests; Unavailable.
    """
    account_id = acting.session.account_id
    charge = Charge(LANGUAGE_CHANGE, account_id)
    budgets.take(deps.redis, charge).require()
    with budgets.given_back_on_outage(deps.redis, charge), consequences.holding(deps, acting) as connection:
        if accounts.set_language(connection, account_id, language):
            timeline.write(
                connection, account_id, Entry.LANGUAGE_CHANGED, deps.clock(), ip=client.ip, language=language
            )
