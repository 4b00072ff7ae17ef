"""Shared secrets in the spellings that authenticator apps take: base32 and the key URI."""

import base64
import binascii
from urllib.parse import quote

import pyotp

from services.otp.domain.totp import MINIMUM_SECRET_BITS, RECOMMENDED_SECRET_BITS, SharedSecret
from shared.secret import Secret

BASE32_BITS = 5
# As it stands in the URI, where a character may take twelve. The QR code grows with it, and the time to draw that.
LONGEST_LABEL = 120


def new_secret() -> Secret[str]:
    """160 bits from the CSPRNG in base32 without padding (RFC 4226 §4 R6, RFC 6238 §5.1)."""
    return Secret(pyotp.random_base32(RECOMMENDED_SECRET_BITS // BASE32_BITS))


def decode_secret(base32: Secret[str]) -> SharedSecret:
    """The bytes of a base32 secret; small letters, spaces and padding are taken. Raises ValueError that shows none."""
    characters = "".join(base32.reveal().split()).rstrip("=").upper()
    try:
        material = base64.b32decode(characters + "=" * (-len(characters) % 8))
    except (binascii.Error, ValueError):
        raise ValueError("the secret is not base32") from None
    if len(material) * 8 < MINIMUM_SECRET_BITS:
        raise ValueError(f"the secret is shorter than {MINIMUM_SECRET_BITS} bits")
    return Secret(material)


def encode_secret(secret: SharedSecret) -> Secret[str]:
    """The base32 of a secret, without padding."""
    return Secret(base64.b32encode(secret.reveal()).decode().rstrip("="))


def key_uri(base32: Secret[str], *, issuer: str, label: str) -> str:
    """``otpauth://totp/Issuer:label?secret=…&issuer=Issuer``; apps take every ``:`` for the parting one.

    A label that is longer than LONGEST_LABEL in the URI is cut.
    """
    name = clean_label(label)
    while len(quote(name)) > LONGEST_LABEL:
        name = name[:-1]
    return pyotp.TOTP(base32.reveal()).provisioning_uri(name=name, issuer_name=clean_label(issuer))


def clean_label(label: str) -> str:
    """The label without ``:``; never empty."""
    return label.replace(":", " ").strip() or "account"
