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
_NUMBERED = re.compile(r"(.*?)([0-9]*)\Z")
# Keys that a development stack made for itself have these ids, and no others may: production refuses them.
DEVELOPMENT_STEM = "dev"
_DEVELOPMENT_ID = re.compile(rf"{DEVELOPMENT_STEM}[0-9]+\Z")


class RotationError(Exception):
    """A step that is not due; the message says why, and names ids only."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key and the id by which stored data names it."""

    id: str
    material: Secret[bytes]

    @property
    def is_for_development(self) -> bool:
        """Whether a development stack made it."""
        return _DEVELOPMENT_ID.match(self.id) is not None

    @property
    def number(self) -> int:
        """The number that its id ends in, 0 for none: of two keys of a list, the higher one was made later."""
        return int(_numbered(self.id)[1] or 0)

    def mac(self, *parts: str) -> str:
        """HMAC-SHA-256 over the parts as 64 hex digits; a length prefix keeps ("a", "bc") from ("ab", "c")."""
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.digest(self.material.reveal(), message, hashlib.sha256).hex()


@dataclass(frozen=True, slots=True)
class KeyList:
    """Keys newest first: the first one writes, all of them read.

    A new key comes in three steps, each of which is rolled out everywhere before the next (docs/keys.md): ``added``
    behind the first, where every process learns to read it; ``used``, where it writes; ``dropped``, where the old ones
    are gone. Whoever is a step behind reads what the others write, so nothing is refused meanwhile.
    """

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

    def added(self, material: bytes) -> "KeyList":
        """The list with a new key behind the first, under the next number. Raises RotationError while one waits."""
        if self._waiting:
            raise RotationError(f"key {self._waiting.id} waits to be used already")
        stem, _ = _numbered(self.newest.id)
        key = Key(f"{stem}{max(key.number for key in self) + 1}", Secret(material))
        if not _KEY_ID.match(key.id):
            raise RotationError(f"key {key.id} would have too long an id; name a shorter one by hand")
        return KeyList((self.newest, key, *self.keys[1:]))

    def used(self) -> "KeyList":
        """The list with the key that waits first. Raises RotationError when none does."""
        waiting = self._waiting
        if waiting is None:
            raise RotationError("no new key waits to be used; add one first")
        return KeyList((waiting, *(key for key in self if key is not waiting)))

    def dropped(self) -> "KeyList":
        """The newest key alone. Raises RotationError when there is no other, or one that waits to be used."""
        if self._waiting:
            raise RotationError(f"key {self._waiting.id} is the new one and waits to be used; nothing is dropped")
        if len(self.keys) == 1:
            raise RotationError(f"key {self.newest.id} is the only one")
        return KeyList((self.newest,))

    @property
    def _waiting(self) -> Key | None:
        later = max(self.keys, key=lambda key: key.number)
        return later if later.number > self.newest.number else None

    def dump(self) -> str:
        """The spelling that parse reads. It shows the keys."""
        return ",".join(f"{key.id}:{encode_key(key.material.reveal())}" for key in self)

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys)


def encode_key(material: bytes) -> str:
    """The spelling that parse reads: base64url without padding."""
    return base64.urlsafe_b64encode(material).rstrip(b"=").decode()


def _numbered(key_id: str) -> tuple[str, str]:
    match = _NUMBERED.match(key_id)
    return (match[1], match[2]) if match else (key_id, "")


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
