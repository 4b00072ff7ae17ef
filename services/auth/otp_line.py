"""The line to otp: kept connections, short time-outs, a circuit breaker.

A request is repeated in one case only: the server closed the kept connection without an answer, as a server does when
it is renewed. libcurl does that by itself. Most likely otp has not read the request. If it has, a right code is
accepted again where it was entered, and a wrong one costs two tries.

Each request says how long its caller waits and when it gives up, so that otp does no work for a caller that is gone.

Why libcurl: a call costs 50 us of CPU, and 120 with ``http.client``, whose parser is that of e-mails. It also releases
the interpreter's lock once a call, and ``http.client`` does so eight times (8 threads: 54 us against 165).
"""

import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import pycurl

from shared.breaker import Breaker
from shared.clock import Clock, after, unix_milliseconds
from shared.deadline import GIVES_UP_AT_HEADER, TIME_LEFT_HEADER, at_most

OPENS_AFTER_FAILURES = 3  # fewer than the gateway has request threads
# libcurl adds these by itself, and otp reads none of them.
_LEFT_OUT = ("Accept:", "User-Agent:")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call waits: to connect, and for the whole of it. A 503 is due within three seconds.

    ``retry_seconds`` is for a call that follows a failed one.
    """

    connect_seconds: float = 0.5
    answer_seconds: float = 2.2
    retry_seconds: float = 0.5


PATIENCE = Patience()


class LineDown(Exception):  # noqa: N818 - a state, as Unavailable is
    """No answer came, or none was waited for."""


class Line:
    """Where otp listens. Threads share it; each has a connection of its own (a pool costs each call as much again).

    ``clock``: the Redis server's, which otp reads too. Without one a request does not say when its caller gives up.
    """

    def __init__(
        self, base_url: str, headers: Mapping[str, str], clock: Clock | None = None, patience: Patience = PATIENCE
    ) -> None:
        self._clock, self._patience = clock, patience
        self._base_url = base_url.rstrip("/")
        self._headers = [*_LEFT_OUT, *(f"{name}: {value}" for name, value in headers.items())]
        self._kept = _KeptHandle(patience.connect_seconds)
        self._breaker = Breaker("otp", _line_down, opens_after=OPENS_AFTER_FAILURES)

    def exchange(self, method: str, path: str, body: bytes = b"", *, hashes: bool = False) -> tuple[int, bytes]:
        """Send one request; the status and body of its answer. Raises LineDown.

        A request that ``hashes`` gets its whole time, because the short try that follows a failure is too short for it.
        """
        with self._breaker.call(_down):
            is_retry = self._breaker.failed_last and not hashes
            seconds = at_most(self._patience.retry_seconds if is_retry else self._patience.answer_seconds)
            handle, received = self._kept.handle, self._kept.received
            received.clear()
            handle.setopt(pycurl.URL, self._base_url + path)
            handle.setopt(pycurl.CUSTOMREQUEST, method)
            handle.setopt(pycurl.POSTFIELDS, body)
            handle.setopt(pycurl.HTTPHEADER, self._headers + self._times(seconds))
            handle.setopt(pycurl.TIMEOUT_MS, int(seconds * 1000))
            try:
                handle.perform()
            except pycurl.error as error:
                raise LineDown from error
            return handle.getinfo(pycurl.RESPONSE_CODE), b"".join(received)

    def _times(self, seconds: float) -> list[str]:
        """The headers that say how long the caller waits."""
        times = [f"{TIME_LEFT_HEADER}: {int(seconds * 1000)}"]
        if self._clock is not None:
            times.append(f"{GIVES_UP_AT_HEADER}: {unix_milliseconds(after(self._clock(), seconds))}")
        return times

    def close(self) -> None:
        """Let go of this thread's connection."""
        self._kept.handle.close()


def _down() -> LineDown:
    return LineDown("it has not answered lately")


def _line_down(error: BaseException) -> bool:
    return isinstance(error, LineDown)


class _KeptHandle(threading.local):
    """A libcurl handle of this thread, which keeps its connection, and what it has received."""

    def __init__(self, connect_seconds: float) -> None:
        self.received: list[bytes] = []
        self.handle = pycurl.Curl()
        self.handle.setopt(pycurl.CONNECTTIMEOUT_MS, int(connect_seconds * 1000))
        self.handle.setopt(pycurl.NOSIGNAL, 1)  # threads (CURLOPT_NOSIGNAL)
        self.handle.setopt(pycurl.PROXY, "")  # whatever the environment says
        self.handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        self.handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        self.handle.setopt(pycurl.WRITEFUNCTION, self.received.append)
        trusted = ssl.get_default_verify_paths()  # the wheel's libcurl looks nowhere
        if trusted.cafile is not None:
            self.handle.setopt(pycurl.CAINFO, trusted.cafile)
        if trusted.capath is not None:
            self.handle.setopt(pycurl.CAPATH, trusted.capath)
