"""Looks for secrets in everything that a stack writes: its logs, all that Redis was ever told, every row of SQL.

Redis keeps each write in its append-only file, so a queue message that a worker took a millisecond later is there, too.
"""

import base64
import binascii
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

import redis as redis_py

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){6,}")
_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[\"\\/nrt])")
_DEPTH = 3  # a JSON text in base64 in a JSON text


@dataclass(frozen=True)
class Secret:
    """``kind`` is what the table of allowed places calls it; ``forms`` are its spellings in clear."""

    kind: str
    forms: tuple[bytes, ...]

    def is_in(self, text: bytes) -> bool:
        return any(_stands_in(form, text) for form in self.forms)


@dataclass(frozen=True)
class Leak:
    """What was found where. It shows no more of the secret than its kind."""

    kind: str
    place: str


def secret(kind: str, *values: str) -> Secret:
    """A secret and other ways to write it, such as a number without its country code."""
    return Secret(kind, tuple(dict.fromkeys(value.encode() for value in values)))


def key_material(kind: str, text: str) -> Secret:
    """A key in base64 and in base32, as bytes and in clear."""
    padded = text + "=" * (-len(text) % 8)
    decode = base64.b32decode if re.fullmatch(r"[A-Z2-7]+=*", padded) else base64.urlsafe_b64decode
    return Secret(kind, (text.encode(), decode(padded)))


def _stands_in(form: bytes, text: bytes) -> bool:
    """Six digits only as a word of their own: in a time or in an id they are chance."""
    if not (form.isdigit() and len(form) <= 8):
        return form in text
    return re.search(rb"(?<![0-9A-Za-z_.:+/-])" + form + rb"(?![0-9A-Za-z_+/-])", text) is not None


def readings(text: bytes, depth: int = _DEPTH) -> Iterator[bytes]:
    """The text, and what is in it in base64, hex, percent signs and escapes."""
    yield text
    if depth == 0:
        return
    inner = [*_decoded(text)]
    if b"%" in text:
        inner.append(unquote_to_bytes(text))
    if _ESCAPE.search(text):
        inner.append(_ESCAPE.sub(_unescape, text))
    for one in inner:
        if one != text:
            yield from readings(one, depth - 1)


def _decoded(text: bytes) -> Iterator[bytes]:
    for found in _HEX.finditer(text):
        yield binascii.unhexlify(found.group())
    for found in _BASE64.finditer(text):
        characters = found.group().rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):  # where it begins is not always where the match does
            part = characters[start:]
            with_padding = part[: len(part) - (len(part) % 4 == 1)]
            yield base64.b64decode(with_padding + b"=" * (-len(with_padding) % 4))
            if len(characters) > 400:
                break


def _unescape(found: "re.Match[bytes]") -> bytes:
    escape = found.group()
    match escape[1:2]:
        case b"u":
            return chr(int(escape[2:].decode(), base=16)).encode("utf-8", "replace")
        case b"x":
            return bytes.fromhex(escape[2:].decode())
        case b"n" | b"r" | b"t":
            return b"\n"
    return escape[1:]


def leaks(secrets: Iterable[Secret], places: Iterable[tuple[str, bytes]]) -> set[Leak]:
    """Every secret in every place, however it is written there."""
    secrets, found = list(secrets), set()
    for place, text in places:
        for reading in readings(text):
            found |= {Leak(one.kind, place) for one in secrets if one.is_in(reading)}
    return found


# --- the places -------------------------------------------------------------------------------------------------------


def log_lines(var_dir: Path) -> Iterator[tuple[str, bytes]]:
    """Each line of every process's output, and of the supervisor's."""
    for path in (*sorted((var_dir / "log").glob("*")), var_dir / "console.log"):
        for line in path.read_bytes().splitlines():
            yield f"log {path.name}", line


def redis_writes(var_dir: Path) -> Iterator[tuple[str, bytes]]:
    """Each command that changed anything since the server began, under the kind of its first key."""
    for path in sorted((var_dir / "redis" / "appendonlydir").glob("*.incr.aof")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            at, command = _read_command(data, at)
            place = _family(command[1]) if len(command) > 1 else "redis"
            yield place, b" ".join(command)


def _read_command(data: bytes, at: int) -> tuple[int, list[bytes]]:
    end = data.index(b"\r\n", at)
    if data[at : at + 1] == b"#":  # a note of when
        return end + 2, []
    count, at, words = int(data[at + 1 : end]), end + 2, []
    for _ in range(count):
        end = data.index(b"\r\n", at)
        length = int(data[at + 1 : end])
        words.append(data[end + 2 : end + 2 + length])
        at = end + 2 + length + 2
    return at, words


def redis_values(url: str) -> Iterator[tuple[str, bytes]]:
    """Every key with what it holds now."""
    with closing(redis_py.Redis.from_url(url)) as client:
        readers = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1),
        }
        for key in client.scan_iter():
            kind = client.type(key)
            if kind in readers:  # else it has ended meanwhile
                yield _family(key), key + b" " + repr(readers[kind](key)).encode()


def _family(key: bytes) -> str:
    words = re.split(r"[:\x06]", key.decode("utf-8", "replace"))
    return "redis " + ":".join(word for word in words[:2] if not re.search(r"[0-9a-f]{8}|@", word))


def sql_rows(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every row of every table, and the file itself with what was deleted in it."""
    with closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - names of our own tables
                for value in row:
                    text = value if isinstance(value, bytes) else str(value).encode()
                    yield f"sql {path.stem} {table}", text
    for file in (path, path.with_name(path.name + "-wal")):
        if file.exists():
            yield f"sql {path.stem} file", file.read_bytes()


def as_json(answer_body: object) -> bytes:
    return answer_body if isinstance(answer_body, bytes) else json.dumps(answer_body).encode()
