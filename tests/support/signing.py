"""A signing key for each service, and messages as their senders sign them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.keys import KeyList, encode_key
from shared.messages import AUTH, NOTIFY, OTP, ROUTES, SENT_BY, Message, decode
from shared.sealed_text import SealedText
from shared.signed_messages import content, sign
from shared.signing import Signer, Verifier, public_halves

SIGNING_KEYS = {sender: KeyList.parse(f"g1:{encode_key(sender.encode().ljust(32))}") for sender in (AUTH, OTP, NOTIFY)}
PUBLIC_KEYS = {sender: public_halves(keys) for sender, keys in SIGNING_KEYS.items()}
SIGNERS = {sender: Signer(sender, keys) for sender, keys in SIGNING_KEYS.items()}
VERIFIER = Verifier(PUBLIC_KEYS)
# The settings of all services.
ENVIRONMENT = {
    **{f"{sender.upper()}_SIGNING_KEYS": keys.dump() for sender, keys in SIGNING_KEYS.items()},
    **{f"{sender.upper()}_VERIFY_KEYS": keys.dump() for sender, keys in PUBLIC_KEYS.items()},
}


def signed(message: Message, queue: str | None = None, not_before: datetime | None = None) -> dict[str, Any]:
    """As its sender puts it on its first queue, or on another one."""
    sender = SENT_BY[type(message)] or AUTH
    return sign(message, SIGNERS[sender], queue or ROUTES[type(message)][0], not_before)


def unsigned_text(deadline: datetime) -> SealedText:
    """For tests of the claim check, in which nobody opens the text."""
    return SealedText("sealed", deadline, "")


def message_in(document: dict[str, Any]) -> Message:
    """What was signed, unchecked."""
    return decode(content(document))


def signer_of(sender: str, keys: Mapping[str, str]) -> Signer:
    """What signs for this service in a stack with these key lists."""
    return Signer(sender, KeyList.parse(keys[f"{sender.upper()}_SIGNING_KEYS"]))
