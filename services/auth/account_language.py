"""The language of an account: its notices, its texts and the calls with its codes are in it."""

from services.auth import consequences
from services.auth.consequences import Acting
from services.auth.deps import Deps
from services.auth.store import accounts


def choose(deps: Deps, acting: Acting, language: str) -> None:
    """Remember the language that the owner has chosen. Raises Refusal not_authenticated."""
    with consequences.holding(deps, acting) as connection:
        accounts.set_language(connection, acting.session.account_id, language)
