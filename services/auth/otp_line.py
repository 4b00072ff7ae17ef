"""The line to otp: kept connections, short time-outs, a circuit breaker.

A request is repeated in one case only: the kept connection that it went out on was closed without a word, as a server
does that is renewed. Most likely nobody read it; if somebody did, a right code is accepted again where it was entered,
and a wrong one costs two tries.
"""

import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from urllib.parse import urlsplit

from urllib3.util import wait_for_read

from shared.breaker import Breaker
from shared.deadline import at_most

CONNECT_SECONDS, READ_SECONDS = 0.5, 2.2  # together under the three seconds in which a 503 is due
OPENS_AFTER_FAILURES, TRY_SECONDS = 5, 0.5


class LineDown(Exception):  # noqa: N818 - a state, as Unavailable is
    """No answer came, or none was waited for."""


class Line:
    """Where otp listens. Threads share it; each has a connection of its own (a pool costs each call as much again)."""

    def __init__(self, base_url: str) -> None:
        self._prefix = urlsplit(base_url).path.rstrip("/")
        self._kept = _KeptConnection(base_url)
        self._breaker = Breaker("otp", _line_down, opens_after=OPENS_AFTER_FAILURES)

    def exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Send one request; the status and body of its answer. Raises LineDown."""
        with self._breaker.call(_down):
            seconds = TRY_SECONDS if self._breaker.failed_last else READ_SECONDS
            connection = self._kept.connection
            try:
                kept = _make_ready(connection)
                try:
                    return _ask(connection, seconds, method, self._prefix + path, body, headers)
                except _CLOSED:
                    if not kept:
                        raise
                    connection.close()
                    return _ask(connection, seconds, method, self._prefix + path, body, headers)
            except (OSError, HTTPException) as error:
                connection.close()
                raise LineDown from error

    def close(self) -> None:
        """Let go of this thread's connection."""
        self._kept.connection.close()


def _down() -> LineDown:
    return LineDown("it has not answered lately")


def _line_down(error: BaseException) -> bool:
    return isinstance(error, LineDown)


class _KeptConnection(threading.local):
    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        self.connection = kind(url.netloc, timeout=CONNECT_SECONDS)


# What a closed connection is met with. A time-out is none of them.
_CLOSED = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)


def _make_ready(connection: HTTPConnection) -> bool:
    """Whether a connection was kept that is open as far as one can see."""
    if connection.sock is not None and wait_for_read(connection.sock, timeout=0):
        connection.close()  # nobody asked, so what is there to be read is the end: the server has closed it
    return connection.sock is not None


def _ask(
    connection: HTTPConnection, seconds: float, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, bytes]:
    if connection.sock is None:
        connection.connect()
    _limit_reads(connection, at_most(seconds))
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response.status, response.read()


def _limit_reads(connection: HTTPConnection, seconds: float) -> None:
    connection.sock.settimeout(seconds)
