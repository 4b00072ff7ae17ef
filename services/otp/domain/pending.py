"""An enrollment that was begun and not confirmed."""

from dataclasses import dataclass
from datetime import datetime

from services.otp.domain.sealed import Sealed
from services.otp.domain.session_id import session_of


@dataclass(frozen=True, slots=True)
class PendingAuthenticator:
    """Its row. Its time may be over. Earlier releases of auth begin it without a session."""

    id: str
    label: str
    sealed: Sealed
    created_at: datetime
    expires_at: datetime
    session_id: str | None

    def is_open_to(self, session_id: str, now: datetime) -> bool:
        """Whether this session began it, under whichever token, and may still confirm it."""
        begun_by_it = self.session_id is not None and session_of(self.session_id) == session_of(session_id)
        return begun_by_it and self.expires_at > now
