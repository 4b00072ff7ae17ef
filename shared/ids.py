"""Opaque identifiers and unguessable tokens."""

import hashlib
import secrets


def new_id(prefix: str) -> str:
    """An opaque id such as ``acc_4f…`` with 96 random bits; not a secret."""
    return f"{prefix}_{secrets.token_hex(12)}"


def new_token() -> str:
    """A 256-bit bearer secret, base64url (ASVS 7.2.3 asks for 128 bits)."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> str:
    """What is stored in place of a token. Plain SHA-256 is enough: the token itself is 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()
