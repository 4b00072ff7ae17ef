"""The development keys in `var/keys.env`: made once, kept over runs, readable by their owner only."""

import base64
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from nacl.public import PrivateKey

from deploy.local.files import PRIVATE_FILE, correct_mode, write_private

KEY_ID = "dev1"


def _encode(raw: bytes) -> str:
    return f"{KEY_ID}:{base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


def _random_key(_: Mapping[str, str]) -> str:
    return _encode(secrets.token_bytes(32))


def _public_half(made: Mapping[str, str]) -> str:
    """The public half of the newest private key, under the same id."""
    key_id, _, text = made["NOTIFY_PRIVATE_KEYS"].split(",")[0].partition(":")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    public = base64.urlsafe_b64encode(bytes(PrivateKey(raw).public_key)).decode().rstrip("=")
    return f"{key_id}:{public}"


# Every list is `id:base64url` items, newest first, separated by commas. Order matters: a public key needs its private.
KEYS: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "OTP_API_KEYS": _random_key,
    "OTP_SECRET_KEYS": _random_key,  # AES-256
    "OTP_DIGEST_KEYS": _random_key,  # HMAC
    "AUTH_DIGEST_KEYS": _random_key,  # HMAC
    "AUTH_AUDIT_KEYS": _random_key,  # HMAC
    "JWT_SIGNING_KEYS": _random_key,  # Ed25519 seed
    "NOTIFY_PRIVATE_KEYS": _random_key,  # X25519
    "NOTIFY_PUBLIC_KEY": _public_half,
}


def load_or_make_keys(path: Path) -> tuple[dict[str, str], list[str]]:
    """The keys in `path`, with the missing ones made and added, and notices for the person at the console.

    A wrong mode is corrected. A public key that doesn't fit its private key is replaced: what it seals nobody opens.
    """
    notices: list[str] = []
    keys: dict[str, str] = {}
    if path.exists():
        if correct_mode(path, PRIVATE_FILE):
            notices.append(f"{path} could be read by others; its mode is 0600 again. Make new keys if that matters.")
        keys = read_keys(path)
    before = dict(keys)
    for name, make in KEYS.items():
        if name not in keys:
            keys[name] = make(keys)
    fitting = _public_half(keys)
    if keys["NOTIFY_PUBLIC_KEY"] != fitting:
        keys["NOTIFY_PUBLIC_KEY"] = fitting
        notices.append(f"NOTIFY_PUBLIC_KEY in {path} did not fit NOTIFY_PRIVATE_KEYS; it was derived anew.")
    if keys != before:
        write_private(path, _HEADER + "".join(f"{name}={value}\n" for name, value in keys.items()))
        if before:
            added = ", ".join(name for name in keys if name not in before)
            notices += [f"Added to {path}: {added}."] if added else []
    return keys, notices


def read_keys(path: Path) -> dict[str, str]:
    """The NAME=value lines of `path`. Raises OSError when it can't be read."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs if value.strip()}


_HEADER = """\
# Development keys of one machine, made by `make run`. Each list: id:base64url, newest first, separated by commas.
# Deleting this file makes what was stored under its keys unreadable: run `make clean` then.
"""
