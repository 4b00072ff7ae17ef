"""HTTP to a provider: one pool of connections for each, time-outs, and nothing that is ever repeated by itself."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, prepend_scheme_if_needed, select_proxy
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

TIMEOUT_SECONDS = (5.0, 5.0)  # to connect, to read
# Kept idle connections, not a limit on sends. More threads than this in one process buy nothing: it is CPU-bound first.
POOL_SIZE = 64
# A connection that a NAT or a firewall forgot while it was idle is found out by the kernel, and not by the next code:
# its request would be "maybe sent". The names differ between systems; what one lacks is left out.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
SOCKET_OPTIONS = (
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), n) for name, n in _KEEPALIVE.items() if hasattr(socket, name)),
)


def _in_time(began: float, connection: HTTPConnection) -> None:
    """Nothing is written on a connection that took too long to make: the lease of its message may be over.

    The time-out that sockets know is one for each address of a name, and for finding the addresses there is none.
    """
    if time.monotonic() - began > TIMEOUT_SECONDS[0]:
        connection.close()
        raise ConnectTimeoutError(connection, "connected too late")


class _AtOnce(HTTPConnection):
    """Writes a request, headers and body, with one call, and on a connection that was made in time.

    Each call gives the other threads their turn, and a busy worker waits for its own again.
    """

    _unwritten: list[bytes] | None = None

    def connect(self) -> None:
        began = time.monotonic()
        super().connect()
        _in_time(began, self)

    def request(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - urllib3's
        unwritten: list[bytes] = []
        self._unwritten = unwritten
        try:
            super().request(*args, **options)
        finally:
            self._unwritten = None
        self.send(b"".join(unwritten))

    def send(self, data: Any) -> None:  # noqa: ANN401 - urllib3's
        if self._unwritten is None:
            super().send(data)
        else:
            self._unwritten.append(data)


class _Plain(_AtOnce):
    pass


class _Tls(_AtOnce, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


class Line:
    """POSTs to one provider over connections that are kept. Proxies and CA bundles are read from the environment once.

    urllib3 itself, which is what requests is made of: what requests adds costs as much CPU again at every message.
    """

    def __init__(self, base_url: str) -> None:
        options: dict[str, Any] = {
            "num_pools": 1,
            "maxsize": POOL_SIZE,
            "socket_options": SOCKET_OPTIONS,
            **_trusted(),
        }
        proxy = select_proxy(base_url, get_environ_proxies(base_url))
        manager = _through(proxy, options) if proxy else PoolManager(**options)
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
        # A manager finds the pool anew for every request, at a fifth of its cost. A proxy needs what it does besides.
        self._poster: PoolManager | HTTPConnectionPool = manager if proxy else manager.connection_from_url(base_url)
        self._origin = urljoin(base_url, "/").removesuffix("/") if proxy else ""

    def post(self, target: str, body: bytes, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """Send one request, read the whole answer, follow nothing. Raises urllib3's HTTPError.

        ``target`` is path and query (RFC 9112 §3.2.1).
        """
        connect, read = TIMEOUT_SECONDS
        return self._poster.urlopen(
            "POST",
            self._origin + target,
            body=body,
            headers=headers,
            timeout=Timeout(connect=connect, read=read),
            retries=False,
            redirect=False,
        )


def _trusted() -> dict[str, str]:
    """Whose certificates count: the bundle that requests would take, of the environment or its own."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    return {"ca_cert_dir" if Path(bundle).is_dir() else "ca_certs": bundle}


def _through(proxy: str, options: dict[str, Any]) -> ProxyManager:
    address = prepend_scheme_if_needed(proxy, "http")
    return ProxyManager(address, proxy_headers=HTTPAdapter().proxy_headers(address), **options)


def maybe_sent(error: HTTPError) -> bool:
    """Whether the request may have reached the provider: unless the connection was never made, it may."""
    never_sent = (ConnectTimeoutError, NewConnectionError, SSLError, ProxyError, LocationValueError)
    return not isinstance(error, never_sent)
