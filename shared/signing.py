"""Ed25519 signatures (RFC 8032) of a service over what it sends, and the check of them.

This module signs any text. shared/signed_messages.py says which parts of a message are signed, and
shared/sealed_text.py which parts of a code's sealed text.
"""

import base64
import binascii
from collections.abc import Mapping

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from shared.keys import Key, KeyList, encode_key
from shared.secret import Secret


class SignatureRefused(Exception):  # noqa: N818
    """The text is not signed by the sender that it must come from; the message says why and quotes nothing of it."""


class Signer:
    """Signs for one service under the newest key of its list. Loading the key costs as much, so it is done once."""

    def __init__(self, sender: str, keys: KeyList) -> None:
        self.sender = sender
        self.keys = keys
        self._key_id = keys.newest.id
        self._key = SigningKey(keys.newest.material.reveal())

    def sign(self, kind: str, text: str) -> str:
        """``key-id.base64url`` of the signature. A signature over one kind of text never serves for another kind."""
        return f"{self._key_id}.{encode_key(self._key.sign(_signed(kind, self.sender, text)).signature)}"


class Verifier:
    """Knows the public keys of the senders that one service listens to."""

    def __init__(self, public_keys: Mapping[str, KeyList]) -> None:
        self._keys = {
            (sender, key.id): VerifyKey(key.material.reveal()) for sender, keys in public_keys.items() for key in keys
        }

    def require(self, sender: str, kind: str, text: str, signature: object) -> None:
        """Raise SignatureRefused unless ``sender`` signed this text of this kind."""
        if not isinstance(signature, str) or not signature:
            raise SignatureRefused("not signed")
        key_id, _, encoded = signature.partition(".")
        key = self._keys.get((sender, key_id))
        if key is None:
            raise SignatureRefused(f"signed under a key that is not in the list of {sender}")
        try:
            key.verify(_signed(kind, sender, text), _decode(encoded))
        except (BadSignatureError, ValueError):
            raise SignatureRefused(f"the signature is not that of {sender} over this text") from None


def public_halves(private_keys: KeyList) -> KeyList:
    """The public half of every key of a signing list, under the same ids and in the same order."""
    return KeyList(
        tuple(Key(key.id, Secret(bytes(SigningKey(key.material.reveal()).verify_key))) for key in private_keys)
    )


def _signed(kind: str, sender: str, text: str) -> bytes:
    return f"latchkey {kind}\n{sender}\n{text}".encode()


def _decode(encoded: str) -> bytes:
    """Decode the one spelling that encode_key writes. Raises ValueError for another one, as for a changed message."""
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64url") from None
    if encode_key(raw) != encoded:
        raise ValueError("not the one spelling")
    return raw
