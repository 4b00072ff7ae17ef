"""What is inside a sealed text: written by otp and auth, read by notify alone."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from shared.clock import parse_rfc3339, rfc3339
from shared.keys import Key, KeyList
from shared.sealing import CannotOpen, seal, unseal


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """One message to one recipient (E.164 number or email address). It never prints its content.

    ``expires_at`` is when the message loses its worth; a provider is told to drop it then.
    """

    account_id: str
    recipient: str
    subject: str | None
    body: str
    expires_at: datetime

    def seal(self, public_key: Key) -> str:
        """Seal for notify."""
        return seal(public_key, json.dumps({**asdict(self), "expires_at": rfc3339(self.expires_at)}))

    def __repr__(self) -> str:
        return f"Envelope(account_id={self.account_id!r}, ***)"


def open_envelope(private_keys: KeyList, sealed: str) -> Envelope:
    """The envelope that was sealed. Raises CannotOpen."""
    try:
        members = json.loads(unseal(private_keys, sealed))
        envelope = Envelope(**{**members, "expires_at": parse_rfc3339(members["expires_at"])})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CannotOpen("the envelope does not have our shape") from error
    subject = "" if envelope.subject is None else envelope.subject
    if not all(isinstance(text, str) for text in (envelope.account_id, envelope.recipient, subject, envelope.body)):
        raise CannotOpen("the envelope does not have our shape")
    return envelope
