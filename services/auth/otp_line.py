"""The line to otp: kept connections, short time-outs, a circuit breaker.

A request is repeated in one case only: the server closed the kept connection without an answer, as a server does when
it is renewed. Most likely otp has not read the request. If it has, a right code is accepted again where it was entered,
and a wrong one costs two tries.

Each request says how long its caller waits and when it gives up, so that otp does no work for a caller that is gone.
"""

import threading
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from urllib.parse import urlsplit

from urllib3.util import wait_for_read

from shared.breaker import Breaker
from shared.clock import Clock, after, unix_milliseconds
from shared.deadline import GIVES_UP_AT_HEADER, TIME_LEFT_HEADER, at_most

OPENS_AFTER_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call waits. The first two together stay under the three seconds in which a 503 is due.

    ``retry_seconds`` is for the answer of a call that follows a failed one.
    """

    connect_seconds: float = 0.5
    read_seconds: float = 2.2
    retry_seconds: float = 0.5


PATIENCE = Patience()


class LineDown(Exception):  # noqa: N818 - a state, as Unavailable is
    """No answer came, or none was waited for."""


class Line:
    """Where otp listens. Threads share it; each has a connection of its own (a pool costs each call as much again).

    ``clock``: the Redis server's, which otp reads too. Without one a request does not say when its caller gives up.
    """

    def __init__(self, base_url: str, clock: Clock | None = None, patience: Patience = PATIENCE) -> None:
        self._clock, self._patience = clock, patience
        self._prefix = urlsplit(base_url).path.rstrip("/")
        self._kept = _KeptConnection(base_url, patience.connect_seconds)
        self._breaker = Breaker("otp", _line_down, opens_after=OPENS_AFTER_FAILURES)

    def exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], *, hashes: bool = False
    ) -> tuple[int, bytes]:
        """Send one request; the status and body of its answer. Raises LineDown.

        A request that ``hashes`` gets its whole time, because the short try that follows a failure is too short for it.
        """
        with self._breaker.call(_down):
            is_retry = self._breaker.failed_last and not hashes
            seconds = self._patience.retry_seconds if is_retry else self._patience.read_seconds
            connection = self._kept.connection
            try:
                kept = _make_ready(connection)
                try:
                    return self._ask(connection, seconds, method, path, body, headers)
                except _CLOSED:
                    if not kept:
                        raise
                    connection.close()
                    return self._ask(connection, seconds, method, path, body, headers)
            except (OSError, HTTPException) as error:
                connection.close()
                raise LineDown from error

    def _ask(
        self,
        connection: HTTPConnection,
        seconds: float,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> tuple[int, bytes]:
        if connection.sock is None:
            connection.connect()
        seconds = at_most(seconds)
        _limit_reads(connection, seconds)
        times = {TIME_LEFT_HEADER: str(int(seconds * 1000))}
        if self._clock is not None:
            times[GIVES_UP_AT_HEADER] = str(unix_milliseconds(after(self._clock(), seconds)))
        connection.request(method, self._prefix + path, body, {**headers, **times})
        response = connection.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        """Let go of this thread's connection."""
        self._kept.connection.close()


def _down() -> LineDown:
    return LineDown("it has not answered lately")


def _line_down(error: BaseException) -> bool:
    return isinstance(error, LineDown)


class _KeptConnection(threading.local):
    def __init__(self, base_url: str, connect_seconds: float) -> None:
        url = urlsplit(base_url)
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        self.connection = kind(url.netloc, timeout=connect_seconds)


# What a closed connection is met with. A time-out is none of them.
_CLOSED = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)


def _make_ready(connection: HTTPConnection) -> bool:
    """Whether a connection was kept that is open as far as one can see."""
    if connection.sock is not None and wait_for_read(connection.sock, timeout=0):
        connection.close()  # nobody asked, so what is there to be read is the end: the server has closed it
    return connection.sock is not None


def _limit_reads(connection: HTTPConnection, seconds: float) -> None:
    connection.sock.settimeout(seconds)
