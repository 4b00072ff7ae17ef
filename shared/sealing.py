"""Sealed boxes (X25519, XSalsa20-Poly1305): anyone may write, only the holder of the private key reads.

And texts that are locked with a token, which whoever holds the token reads (XSalsa20-Poly1305).
"""

import base64
import hashlib

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox

from shared.keys import Key, KeyList


class CannotOpen(Exception):  # noqa: N818
    """Sealed to a key that we do not hold, or altered on the way."""


def seal(public_key: Key, text: str) -> str:
    """``key-id.base64url`` of the sealed text."""
    box = SealedBox(PublicKey(public_key.material.reveal()))
    return f"{public_key.id}.{base64.urlsafe_b64encode(box.encrypt(text.encode())).decode()}"


def unseal(private_keys: KeyList, sealed: str) -> str:
    """The text that was sealed. Raises CannotOpen."""
    key_id, _, body = sealed.partition(".")
    key = private_keys.find(key_id)
    if key is None:
        raise CannotOpen(f"no private key {key_id!r}")
    try:
        return _box(key).decrypt(base64.urlsafe_b64decode(body)).decode()
    except (CryptoError, ValueError, TypeError) as error:
        raise CannotOpen("the sealed text is damaged") from error


# By key id, of which there are few. To derive the public half anew costs as much as to open a text.
_boxes: dict[str, tuple[Key, "SealedBox[PrivateKey]"]] = {}


def _box(key: Key) -> "SealedBox[PrivateKey]":
    """What opens the texts that were sealed to this key. Raises ValueError for what is none."""
    kept = _boxes.get(key.id)
    if kept is None or kept[0] is not key:
        kept = _boxes[key.id] = (key, SealedBox(PrivateKey(key.material.reveal())))
    return kept[1]


def lock(token: str, text: str) -> str:
    """The text, encrypted under a token of 256 random bits."""
    return base64.urlsafe_b64encode(_secret_box(token).encrypt(text.encode())).decode()


def unlock(token: str, locked: str) -> str:
    """The text that was locked with this token. Raises CannotOpen."""
    try:
        return _secret_box(token).decrypt(base64.urlsafe_b64decode(locked)).decode()
    except (CryptoError, ValueError, TypeError) as error:
        raise CannotOpen("the locked text is damaged, or locked with another token") from error


def _secret_box(token: str) -> SecretBox:
    # Another digest than the one that finds the text (token_digest), which stands in Redis beside it.
    return SecretBox(hashlib.sha256(b"lock\0" + token.encode()).digest())
