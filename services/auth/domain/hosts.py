"""Which ``Host`` the gateway answers to, and from which ``Origin`` it takes writes.

A page that reaches the gateway under another name, by DNS rebinding, reads no account. It can read EXEMPT_PATHS, which
are open to everybody.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

# A server on this machine, on any port, in development. None of these is looked up in the public DNS.
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# WebAuthn takes no IP address for a relying party, so pages move to this name.
ADDRESS_OF_PAGES, NAME_OF_PAGES = "127.0.0.1", "localhost"
# Health checks ask by address. Other services and proxies ask for keys and sessions by an inner name.
EXEMPT_PATHS = frozenset({"/healthz", "/readyz", "/.well-known/jwks.json", "/v1/session/verify"})

_HOST = re.compile(r"[a-z0-9._:-]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts of one gateway: that of its public origin, and in development those of this machine."""

    public_origin: str
    development: bool

    def take(self, path: str, host: str | None) -> bool:
        """Whether the gateway answers a request for this path with this ``Host``."""
        return path in EXEMPT_PATHS or _is_known(self.public_origin, host, development=self.development)

    def take_write(self, origin: str, host: str | None) -> bool:
        """Whether a page of this ``Origin`` may write: one of the public origin.

        In development the page may also stand on this machine, under the name that was asked. That exception is off
        where the public origin is https, because whoever is on the network path can make a page of http.
        """
        if origin == self.public_origin:
            return True
        parts = _parts(host)
        here = self.development and parts is not None and parts.hostname in LOOPBACK
        return here and self.public_origin.startswith("http://") and origin == f"http://{host}"

    def move_to(self, host: str | None) -> str | None:
        """The origin that a page moves to; None where it stays. Only pages of development on 127.0.0.1 move."""
        parts = _parts(host)
        if not self.development or parts is None or parts.hostname != ADDRESS_OF_PAGES:
            return None
        return f"http://{NAME_OF_PAGES}" + (f":{parts.port}" if parts.port else "")


def origin_of(parts: SplitResult) -> str | None:
    """The origin of a web address, as browsers write it in ``Origin``; None where there is more or less than an origin.

    Lower case, ASCII, without the default port of its scheme (RFC 6454 §6.2).
    """
    host, port = parts.hostname, parts.port
    more = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    if more or host is None or _HOST.fullmatch(host) is None or parts.scheme not in _DEFAULT_PORTS:
        return None
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port not in {None, _DEFAULT_PORTS[parts.scheme]} else "")


@lru_cache(maxsize=64)  # every request asks, mostly with the same host
def _is_known(public_origin: str, host: str | None, *, development: bool) -> bool:
    parts, origin = _parts(host), urlsplit(public_origin)
    if parts is None:
        return False
    if development and parts.hostname in LOOPBACK:
        return True
    default = _DEFAULT_PORTS[origin.scheme]
    return (parts.hostname, parts.port or default) == (origin.hostname, origin.port or default)


def _parts(host: str | None) -> SplitResult | None:
    """Split into host and port; None for a text that is not a ``Host``, such as one with userinfo, path or query."""
    if not host or set(host) & set("/?#@\\ \t"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.hostname else None
