"""Where a sign-in may lead besides our own pages: services that share the host behind one proxy (CWE-601)."""

import re
from dataclasses import dataclass
from urllib.parse import quote

MAX_CHARACTERS = 2000
_CHARACTER = r"[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2}"  # RFC 3986, of a path
_PATH = re.compile(rf"/(?:{_CHARACTER})+")
_QUERY = re.compile(rf"(?:{_CHARACTER}|\?)*")
# What a server or browser might read as another path: a dot, slash, backslash or percent sign in disguise, a control
# character, an empty or a dotted segment.
_DISGUISED_IN_PATH = re.compile(r"%(?:2[EeFf5]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])")
_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
_SEGMENTS = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True)
class Targets:
    """The paths under which other services stand, each with what is below it."""

    prefixes: tuple[str, ...]

    def take(self, address: str) -> bool:
        """Whether this is a path with an optional query, and stands under one of the prefixes."""
        path, _, query = address.partition("?")
        is_plain = len(address) <= MAX_CHARACTERS and _is_plain_path(path)
        if not is_plain or not _QUERY.fullmatch(query) or _CONTROL.search(query):
            return False
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in self.prefixes)

    def sign_in_address(self, public_origin: str, asked: str | None) -> str:
        """Return the address of the login, with the way back to what was asked for if that is one of the targets.

        ``again``: the login does not lead a live session back, because that session did not meet the demand.
        """
        address = f"{public_origin}/login?again=1"
        return f"{address}&next={quote(asked, safe='/')}" if asked and self.take(asked) else address


def parse(listed: str) -> Targets:
    """Read prefixes by commas. Raises ValueError."""
    prefixes = tuple(one.strip().rstrip("/") for one in listed.split(",") if one.strip())
    if not all(_is_plain_path(prefix) for prefix in prefixes):
        raise ValueError("must list paths such as /billing, by commas")
    return Targets(prefixes)


def _is_plain_path(path: str) -> bool:
    if not _PATH.fullmatch(path) or _DISGUISED_IN_PATH.search(path):
        return False
    segments = path.removesuffix("/").split("/")[1:]
    return not _SEGMENTS & set(segments)
