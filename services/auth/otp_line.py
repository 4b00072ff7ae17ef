"""The line to otp: kept connections, short time-outs, a circuit breaker.

No request is repeated: a verification counts, so a second one would cost the owner a try.
"""

import contextlib
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from circuitbreaker import STATE_CLOSED, STATE_OPEN, CircuitBreaker
from urllib3.util import wait_for_read

CONNECT_SECONDS, READ_SECONDS = 0.5, 2.2  # together under the three seconds in which a 503 is due
# An otp that does not answer must not hold every thread of the gateway that long, call after call.
OPENS_AFTER_FAILURES, PROBED_AFTER_SECONDS = 5, 2


class LineDown(Exception):  # noqa: N818 - a state, as Unavailable is
    """No answer came, or none was waited for."""


class Line:
    """Where otp listens. Threads share it; each has a connection of its own (a pool costs each call as much again)."""

    def __init__(self, base_url: str) -> None:
        self._prefix = urlsplit(base_url).path.rstrip("/")
        self._kept = _KeptConnection(base_url)
        self._breaker = CircuitBreaker(OPENS_AFTER_FAILURES, PROBED_AFTER_SECONDS, LineDown, name="otp")
        self._probing = threading.Lock()

    def exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Send one request; the status and body of its answer. Raises LineDown."""
        with self._admitted(), self._breaker:
            connection = self._kept.connection
            try:
                _make_ready(connection)
                connection.request(method, self._prefix + path, body, headers)
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, HTTPException) as error:
                connection.close()
                raise LineDown from error

    def close(self) -> None:
        """Let go of this thread's connection."""
        self._kept.connection.close()

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        """While the breaker is open nobody calls; when its time is over, one caller finds out for all."""
        state = self._breaker.state
        if state == STATE_CLOSED:
            yield
            return
        if state == STATE_OPEN or not self._probing.acquire(blocking=False):
            raise LineDown("otp has not answered lately")
        try:
            yield
        finally:
            self._probing.release()


class _KeptConnection(threading.local):
    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        self.connection = kind(url.netloc, timeout=CONNECT_SECONDS)


def _make_ready(connection: HTTPConnection) -> None:
    if connection.sock is not None and wait_for_read(connection.sock, timeout=0):
        connection.close()  # nobody asked, so what is there to be read is the end: the server has closed it
    if connection.sock is None:
        connection.connect()
        _limit_reads(connection)


def _limit_reads(connection: HTTPConnection) -> None:
    connection.sock.settimeout(READ_SECONDS)
