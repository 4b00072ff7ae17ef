"""Ports: which are free, and who holds one that isn't."""

import contextlib
import secrets
import socket
from collections.abc import Iterator

import psutil

# Below 32768 no system gives a port to an outgoing connection, so one found free stays so until somebody serves on it.
_LOWEST, _HIGHEST = 12000, 32000
_CONNECT_SECONDS = 0.5


def free_port(count: int = 1) -> int:
    """A port below 32768 that is free on loopback, with the `count - 1` ports after it."""
    for _ in range(1000):
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST - count)
        if all(is_free("127.0.0.1", candidate) for candidate in range(port, port + count)):
            return port
    message = f"no {count} free ports in a row between {_LOWEST} and {_HIGHEST}"
    raise RuntimeError(message)


def is_ours(host: str) -> bool:
    """Whether a server on this machine could listen on the address."""
    with socket.socket(_family(host)) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            return False
    return True


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = _family(host)
    with socket.socket(family) as listener:
        # What the servers set themselves: a connection that is still closing is no reason to wait for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    # macOS lets one bind a narrower address than that of a running server.
    with socket.socket(family) as client:
        client.settimeout(_CONNECT_SECONDS)
        return client.connect_ex((host, port)) != 0


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def listener_on(port: int) -> str | None:
    """The process that listens on the port, as "pid 123 (command)", when this user may know."""
    with contextlib.suppress(psutil.Error):
        for pid in _listeners(port):
            return f"pid {pid} ({' '.join(psutil.Process(pid).cmdline())[:80]})"
    return None


def _listeners(port: int) -> Iterator[int]:
    for connection in psutil.net_connections("tcp"):
        # The address is empty, or (host, port).
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
            yield connection.pid
