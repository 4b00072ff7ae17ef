"""The development keys in `var/keys.env`: made once, kept over runs, readable by their owner only."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from nacl.public import PrivateKey

from deploy.local.files import PRIVATE_FILE, correct_mode, exclusive, write_private
from shared.keys import DEVELOPMENT_STEM, Key, KeyList
from shared.secret import Secret

KEY_BYTES = 32  # AES-256, HMAC-SHA-256, an Ed25519 seed, X25519 and a bearer key alike

# Every list is `id:base64url` items, newest first, separated by commas; docs/keys.md says what each is for.
MADE = (
    "OTP_API_KEYS",
    "OTP_SECRET_KEYS",
    "OTP_DIGEST_KEYS",
    "AUTH_DIGEST_KEYS",
    "AUTH_AUDIT_KEYS",
    "JWT_SIGNING_KEYS",
    "NOTIFY_PRIVATE_KEYS",
)
KEYS = (*MADE, "NOTIFY_PUBLIC_KEY")


def new_material() -> bytes:
    """A key."""
    return secrets.token_bytes(KEY_BYTES)


def new_list(stem: str) -> str:
    """A list of one new key; its id is the stem and the number 1."""
    return KeyList((Key(f"{stem}1", Secret(new_material())),)).dump()


def public_half(private_keys: str) -> str:
    """The public half of the newest private key, under the same id."""
    newest = KeyList.parse(private_keys).newest
    return KeyList((Key(newest.id, Secret(bytes(PrivateKey(newest.material.reveal()).public_key))),)).dump()


def load_or_make_keys(path: Path) -> tuple[dict[str, str], list[str]]:
    """The keys in `path`, with the missing ones made and added, and notices for the person at the console.

    A wrong mode is corrected. A public key that doesn't fit its private key is replaced: what it seals nobody opens.
    """
    with exclusive(path.parent):
        return _load_or_make(path)


def _load_or_make(path: Path) -> tuple[dict[str, str], list[str]]:
    notices: list[str] = []
    keys: dict[str, str] = {}
    if path.exists():
        if correct_mode(path, PRIVATE_FILE):
            notices.append(f"{path} could be read by others; its mode is 0600 again. Make new keys if that matters.")
        keys = read_keys(path)
    before = dict(keys)
    for name in MADE:
        keys.setdefault(name, new_list(DEVELOPMENT_STEM))
    fitting = public_half(keys["NOTIFY_PRIVATE_KEYS"])
    if keys.setdefault("NOTIFY_PUBLIC_KEY", fitting) != fitting:
        keys["NOTIFY_PUBLIC_KEY"] = fitting
        notices.append(f"NOTIFY_PUBLIC_KEY in {path} did not fit NOTIFY_PRIVATE_KEYS; it was derived anew.")
    if keys != before:
        write_keys(path, keys)
        if before:
            added = ", ".join(name for name in keys if name not in before)
            notices += [f"Added to {path}: {added}."] if added else []
    return keys, notices


def read_keys(path: Path) -> dict[str, str]:
    """The NAME=value lines of `path`. Raises OSError when it can't be read."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs if value.strip()}


def write_keys(path: Path, keys: Mapping[str, str]) -> None:
    """Put the lists into the file in one step, mode 0600."""
    write_private(path, _HEADER + "".join(f"{name}={value}\n" for name, value in keys.items()))


_HEADER = """\
# Development keys of one machine, made by `make run`. Each list: id:base64url, newest first, separated by commas.
# `make keys` changes them one by one; production refuses them by their ids.
# Deleting this file makes what was stored under its keys unreadable: run `make clean` then.
"""
