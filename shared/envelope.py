"""What is inside a sealed text: written by otp and auth, read by notify alone."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from shared.channel import Channel
from shared.clock import parse_rfc3339, rfc3339
from shared.keys import Key, KeyList
from shared.sealing import CannotOpen, seal, unseal
from shared.texts.languages import DEFAULT_LANGUAGE, ours


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """One message to one recipient (E.164 number or email address). It never prints its content.

    ``expires_at`` is when the message loses its worth; a provider is told to drop it then. ``subject`` of a call is who
    calls, its ``body`` the digits. ``language`` (ISO 639-1) is that of a call or a mail; None is English. An SMS needs
    none.
    """

    account_id: str
    recipient: str
    subject: str | None
    body: str
    expires_at: datetime
    channel: Channel = Channel.SMS
    language: str | None = None

    def seal(self, public_key: Key) -> str:
        """Seal for notify."""
        members = {**asdict(self), "expires_at": rfc3339(self.expires_at)}
        # A courier of the previous release sends English texts and mails only, and refuses these members.
        if self.channel is Channel.SMS:
            del members["channel"]
        if ours(self.language) == DEFAULT_LANGUAGE:
            del members["language"]
        return seal(public_key, json.dumps(members))

    def __repr__(self) -> str:
        return f"Envelope(account_id={self.account_id!r}, ***)"


def open_envelope(private_keys: KeyList, sealed: str) -> Envelope:
    """The envelope that was sealed. Raises CannotOpen."""
    try:
        members = json.loads(unseal(private_keys, sealed))
        read = {"expires_at": parse_rfc3339(members["expires_at"]), "channel": Channel(members.get("channel", "sms"))}
        envelope = Envelope(**{**members, **read})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CannotOpen("the envelope does not have our shape") from error
    texts = (envelope.account_id, envelope.recipient, envelope.body)
    optional = (envelope.subject, envelope.language)
    if not all(isinstance(text, str) for text in (*texts, *(text for text in optional if text is not None))):
        raise CannotOpen("the envelope does not have our shape")
    return envelope
