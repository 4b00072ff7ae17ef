"""The development keys in `var/keys.env`: made once, kept over runs, readable by their owner only."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from nacl.public import PrivateKey

from deploy.local.files import PRIVATE_FILE, correct_mode, exclusive, write_private
from shared.keys import DEVELOPMENT_STEM, Key, KeyList
from shared.secret import Secret
from shared.signing import public_halves

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
    "AUTH_SIGNING_KEYS",
    "OTP_SIGNING_KEYS",
    "NOTIFY_SIGNING_KEYS",
    "AUTH_JOURNAL_KEYS",
    "OTP_JOURNAL_KEYS",
)
# The passwords of Redis under `make run` are derived from this; only the server's file and each URL hold them.
LOCAL_REDIS = "LOCAL_REDIS_KEY"


def new_material() -> bytes:
    """A key."""
    return secrets.token_bytes(KEY_BYTES)


def redis_password(secret: str, user: str) -> str:
    """The password of one user of the stack's own Redis."""
    return hmac.new(secret.encode(), user.encode(), hashlib.sha256).hexdigest()[:40]


def new_list(stem: str) -> str:
    """A list of one new key; its id is the stem and the number 1."""
    return KeyList((Key(f"{stem}1", Secret(new_material())),)).dump()


def public_half(private_keys: str) -> str:
    """The public half of the newest private key, under the same id."""
    newest = KeyList.parse(private_keys).newest
    return KeyList((Key(newest.id, Secret(bytes(PrivateKey(newest.material.reveal()).public_key))),)).dump()


def public_list(signing_keys: str) -> str:
    """The public halves of all keys of a signing list, so that a reader knows a new key before it is used."""
    return public_halves(KeyList.parse(signing_keys)).dump()


# What others hold of a list, and how it is derived from it.
DERIVED: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "NOTIFY_PUBLIC_KEY": ("NOTIFY_PRIVATE_KEYS", public_half),
    "AUTH_VERIFY_KEYS": ("AUTH_SIGNING_KEYS", public_list),
    "OTP_VERIFY_KEYS": ("OTP_SIGNING_KEYS", public_list),
    "NOTIFY_VERIFY_KEYS": ("NOTIFY_SIGNING_KEYS", public_list),
}
KEYS = (*MADE, *DERIVED, LOCAL_REDIS)


def load_or_make_keys(path: Path) -> tuple[dict[str, str], list[str]]:
    """The keys in `path`, with the missing ones made and added, and notices for the person at the console.

    A wrong mode is corrected. A public list that doesn't fit its private list is replaced, because notify could not
    open what is sealed to it, and consumers would refuse what is signed.
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
    for name, (source, derive) in DERIVED.items():
        fitting = derive(keys[source])
        if keys.setdefault(name, fitting) != fitting:
            keys[name] = fitting
            notices.append(f"{name} in {path} did not fit {source}; it was derived anew.")
    keys.setdefault(LOCAL_REDIS, new_list(DEVELOPMENT_STEM))
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
