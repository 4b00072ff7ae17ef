"""Styles and scripts, read once. Their address holds a digest of them all, so browsers may keep them for good."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

TYPES: Mapping[str, str] = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, and what goes over the wire to a browser that takes gzip."""

    content_type: str
    plain: bytes
    zipped: bytes


def _read() -> dict[str, Asset]:
    assets = {}
    for file in files(__package__).joinpath("static").iterdir():
        content_type = TYPES.get(file.name.rpartition(".")[2])
        if content_type is not None:
            plain = file.read_bytes()
            assets[file.name] = Asset(content_type, plain, gzip.compress(plain, mtime=0))
    return assets


ASSETS: Mapping[str, Asset] = _read()
VERSION = hashlib.sha256(b"".join(name.encode() + ASSETS[name].plain for name in sorted(ASSETS))).hexdigest()[:12]
