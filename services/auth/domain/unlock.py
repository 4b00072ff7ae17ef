"""An unlock that waits for a second operator."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Unlock:
    """Who asked, why, and who approved."""

    id: str
    account_id: str
    ticket: str
    reason: str
    requested_by: str
    requested_at: datetime
    approved_by: str | None = None
    approved_at: datetime | None = None
