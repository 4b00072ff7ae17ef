"""Key lists, newest first, for rotation without downtime."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.secret import Secret

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")


@dataclass(frozen=True, slots=True)
class Key:
    """One key and the id by which stored data names it."""

    id: str
    material: Secret[bytes]

    def mac(self, *parts: str) -> str:
        """HMAC-SHA-256 over the parts as 64 hex digits; a length prefix keeps ("a", "bc") from ("ab", "c")."""
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.digest(self.material.reveal(), message, hashlib.sha256).hex()


@dataclass(frozen=True, slots=True)
class KeyList:
    """Keys newest first: the first one writes, all of them read."""

    keys: tuple[Key, ...]

    @classmethod
    def parse(cls, text: str, *, size_bytes: int = 32) -> "KeyList":
        """Read ``id:base64url,id:base64url``. Raises ValueError with a reason that shows no key."""
        keys = tuple(_parse_key(item.strip(), size_bytes) for item in text.split(",") if item.strip())
        if not keys:
            raise ValueError("names no key; expected id:base64url, newest first")
        if len({key.id for key in keys}) != len(keys):
            raise ValueError("names one key id twice")
        return cls(keys)

    @property
    def newest(self) -> Key:
        """The key that new data is written under."""
        return self.keys[0]

    def find(self, key_id: str) -> Key | None:
        """The key of this id, or None when it was retired."""
        return next((key for key in self.keys if key.id == key_id), None)

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys)


def encode_key(material: bytes) -> str:
    """The spelling that parse reads: base64url without padding."""
    return base64.urlsafe_b64encode(material).rstrip(b"=").decode()


def _parse_key(item: str, size_bytes: int) -> Key:
    key_id, _, encoded = item.partition(":")
    if not _KEY_ID.match(key_id):
        raise ValueError("has a key without a proper id; expected id:base64url")
    try:
        material = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"key {key_id} is not base64url") from None
    if len(material) != size_bytes:
        raise ValueError(f"key {key_id} has {len(material)} bytes; {size_bytes} are needed")
    return Key(key_id, Secret(material))
