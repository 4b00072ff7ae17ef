"""HTTP to a provider: one pooled session for each, time-outs, and nothing that is ever repeated by itself."""

import socket
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

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


class _Plain(HTTPConnection):
    def connect(self) -> None:
        began = time.monotonic()
        super().connect()
        _in_time(began, self)


class _Tls(HTTPSConnection):
    def connect(self) -> None:
        began = time.monotonic()
        super().connect()
        _in_time(began, self)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().init_poolmanager(*args, socket_options=SOCKET_OPTIONS, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


def pooled_session(base_url: str) -> requests.Session:
    """A session that reads proxies and CA bundles from the environment once, and not at every request."""
    session = requests.Session()
    adapter = _Adapter(pool_connections=1, pool_maxsize=POOL_SIZE, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    environment = session.merge_environment_settings(base_url, {}, None, None, None)
    session.proxies = environment["proxies"]
    session.verify = environment["verify"]
    session.trust_env = False
    return session


def maybe_sent(error: requests.RequestException) -> bool:
    """Whether the request may have reached the provider: unless the connection was never made, it may."""
    never_sent = (requests.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError)
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return not isinstance(error, never_sent) and not isinstance(cause, NewConnectionError)
