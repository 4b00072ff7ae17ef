"""The line to otp: kept connections, short time-outs, a circuit breaker.

No request is repeated: a verification counts, so a second one would cost the owner a try.
"""

import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection
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
        with self._breaker.call(LineDown("it has not answered lately")):
            hurried = self._breaker.failed_last
            connection = self._kept.connection
            try:
                _make_ready(connection, at_most(TRY_SECONDS if hurried else READ_SECONDS))
                connection.request(method, self._prefix + path, body, headers)
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, HTTPException) as error:
                connection.close()
                raise LineDown from error

    def close(self) -> None:
        """Let go of this thread's connection."""
        self._kept.connection.close()


def _line_down(error: BaseException) -> bool:
    return isinstance(error, LineDown)


class _KeptConnection(threading.local):
    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        self.connection = kind(url.netloc, timeout=CONNECT_SECONDS)


def _make_ready(connection: HTTPConnection, read_seconds: float) -> None:
    if connection.sock is not None and wait_for_read(connection.sock, timeout=0):
        connection.close()  # nobody asked, so what is there to be read is the end: the server has closed it
    if connection.sock is None:
        connection.connect()
    _limit_reads(connection, read_seconds)


def _limit_reads(connection: HTTPConnection, seconds: float) -> None:
    connection.sock.settimeout(seconds)
