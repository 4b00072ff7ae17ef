"""The members of a team, as each of them sees the others."""

from services.auth.deps import Deps
from services.auth.domain.account import Account
from services.auth.store import accounts
from shared.database import reading


def name(deps: Deps, account: Account) -> str:
    """The team's name."""
    with reading(deps.database) as connection:
        return accounts.team_name(connection, account.team_id)


def members(deps: Deps, account: Account, *, after: str, limit: int) -> list[Account]:
    """The accounts of the same team in the order of their ids."""
    with reading(deps.database) as connection:
        return accounts.of_team(connection, account.team_id, after=after, limit=limit)
