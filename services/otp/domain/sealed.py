"""A secret as it is stored."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sealed:
    """Nonce and ciphertext, and the id of the key that opens it (secrets_box.py)."""

    key_id: str
    ciphertext: bytes
