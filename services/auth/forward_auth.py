"""Whether a proxy may let a request of this session through to another service."""

from services.auth.deps import Deps
from services.auth.domain.demand import Demand, unmet
from services.auth.domain.session import Session
from services.auth.store import accounts
from shared.database import reading
from shared.problems import Refusal


def require(deps: Deps, session: Session, demand: Demand) -> None:
    """Check the session against the demand. Only a demand for a role reads the account.

    Raises Refusal not_authenticated, second_factor_required, forbidden.
    """
    role = None
    if demand.role is not None:
        with reading(deps.database) as connection:
            account = accounts.by_id(connection, session.account_id)
        if account is None:
            raise Refusal("not_authenticated")
        role = account.role
    code = unmet(demand, session, role, deps.clock())
    if code is not None:
        raise Refusal(code)
