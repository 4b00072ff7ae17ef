"""What a proxy demands of a session before it lets a request through (forward-auth)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.auth.domain.account import Role
from services.auth.domain.session import AssuranceLevel, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The least that the session must have. ``max_age`` is the time since the last sign-in or step-up."""

    assurance: AssuranceLevel = AssuranceLevel.AAL1
    max_age: timedelta | None = None
    phishing_resistant: bool = False
    role: Role | None = None


def unmet(demand: Demand, session: Session, role: Role | None, now: datetime) -> str | None:
    """Return the code of the first demand that the session does not meet, or None.

    A session whose last proof is too old counts as none, so that the caller signs in again. No factor of this release
    is resistant to phishing, so no session meets that demand. ``role`` is needed only if the demand names one.
    """
    if demand.role is not None and role is not demand.role:
        return "forbidden"
    if demand.max_age is not None and now - session.proven_at > demand.max_age:
        return "not_authenticated"
    is_strong = demand.assurance is AssuranceLevel.AAL1 or session.assurance is AssuranceLevel.AAL2
    return None if is_strong and not demand.phishing_resistant else "second_factor_required"
