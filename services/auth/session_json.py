"""A session as JSON, which is how Redis holds it. The scripts of session_store.py read its members, too."""

import json

from services.auth.domain.session import Factor, Session
from shared.clock import parse_rfc3339, rfc3339

_TIMES = ("authenticated_at", "stepped_up_at", "expires_at", "small_step_up_at", "renewed_at", "ends_at")


def dump(session: Session) -> str:
    """The JSON of this session.

    Not by asdict, because every sign-in calls this, and the copies of asdict take longer than all the rest.
    """
    return json.dumps({name: getattr(session, name) for name in session.__slots__}, default=rfc3339)


def load(raw: str) -> Session:
    """The session of this JSON. A member that an earlier release did not write has its default."""
    members = json.loads(raw)
    for name in _TIMES:
        if members.get(name):
            members[name] = parse_rfc3339(members[name])
    for name in ("factors", "signed_in_with"):
        members[name] = tuple(Factor(factor) for factor in members.get(name, ()))
    if members.get("trust_factor"):
        members["trust_factor"] = Factor(members["trust_factor"])
    return Session(**members)
