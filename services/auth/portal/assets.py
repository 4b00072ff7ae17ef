"""Styles, scripts and the logo. Their address holds a digest of them all, so browsers may keep them for good."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

TYPES: Mapping[str, str] = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, and what goes over the wire to a browser that takes gzip."""

    content_type: str
    plain: bytes
    zipped: bytes


def asset(name: str, plain: bytes) -> Asset:
    """The file of this name."""
    return Asset(TYPES[name.rpartition(".")[2]], plain, gzip.compress(plain, mtime=0))


def version_of(assets: Mapping[str, Asset]) -> str:
    """A digest of them all."""
    return hashlib.sha256(b"".join(name.encode() + assets[name].plain for name in sorted(assets))).hexdigest()[:12]


def _read() -> dict[str, Asset]:
    found = files(__package__).joinpath("static").iterdir()
    return {file.name: asset(file.name, file.read_bytes()) for file in found if file.name.rpartition(".")[2] in TYPES}


ASSETS: Mapping[str, Asset] = _read()
