"""Clients that send half a request, or never read their answer: hundreds at once, from one thread."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CONNECTIONS = 500
_CONNECT_SECONDS = 5.0
_LOOK_MILLISECONDS = 50
_KNOCK_SECONDS = 1.0
UNREAD = "unread answers"
_ENDED = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)
_HEAD = "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"


def half_requests(base_url: str, path: str, large: str) -> Mapping[str, bytes]:
    """What each kind of client sends, and then nothing more. ``large``: the largest answer that there is."""
    host = urlsplit(base_url).netloc
    head = _HEAD.format(path=path, host=host)
    return {
        "nothing": b"",
        "half a head": head.encode(),
        "half a body": f'{head}Content-Length: 200\r\n\r\n{{"'.encode(),
        "half a chunk": f'{head}Transfer-Encoding: chunked\r\n\r\n64\r\n{{"'.encode(),
        "a chunk and no end": f"{head}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n".encode(),
        "a body that waits for leave": f"{head}Content-Length: 200\r\nExpect: 100-continue\r\n\r\n".encode(),
        UNREAD: f"GET {large} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * 3,
    }


@dataclass(slots=True)
class _Connection:
    kind: str
    opened_at: float
    line: socket.socket = field(repr=False)
    ended_after: float | None = None


class SlowClients:
    """Opens connections in the block, and notes when the server ends each. ``again``: an ended one is opened anew."""

    def __init__(self, base_url: str, kinds: Mapping[str, bytes], count: int = CONNECTIONS, *, again: bool) -> None:
        parts = urlsplit(base_url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._kinds = kinds
        self._again = again
        self._count = count
        self._open: dict[int, _Connection] = {}
        self._ended: list[_Connection] = []
        self._poll = select.poll()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="slow-clients", daemon=True)

    def __enter__(self) -> Self:
        names = list(self._kinds)
        for number in range(self._count):
            self._connect(names[number % len(names)])
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for connection in self._open.values():
            connection.line.close()

    @property
    def open(self) -> int:
        """How many the server has not ended."""
        return len(self._open)

    def lasted(self) -> Mapping[str, Sequence[float]]:
        """The seconds that each connection has lasted, by kind; the open ones up to this moment."""
        seconds: dict[str, list[float]] = {kind: [] for kind in self._kinds}
        now = time.monotonic()
        for connection in [*self._ended, *list(self._open.values())]:
            lasted = connection.ended_after if connection.ended_after is not None else now - connection.opened_at
            seconds[connection.kind].append(lasted)
        return seconds

    def wait(self, seconds: float) -> None:
        """Until the server has ended all, but no longer than this."""
        ends_at = time.monotonic() + seconds
        while self._open and time.monotonic() < ends_at:
            time.sleep(_LOOK_MILLISECONDS / 1000)

    def _connect(self, kind: str) -> None:
        connection = socket.socket(socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before the handshake, which tells it
        connection.settimeout(_CONNECT_SECONDS)
        opened_at = time.monotonic()
        connection.connect(self._address)
        with contextlib.suppress(OSError):
            connection.sendall(self._kinds[kind])
        self._open[connection.fileno()] = _Connection(kind, opened_at, connection)
        self._poll.register(connection, _ENDED)

    def _watch(self) -> None:
        knocked_at = time.monotonic()
        while not self._stop.is_set():
            if time.monotonic() - knocked_at > _KNOCK_SECONDS:
                knocked_at = time.monotonic()
                self._knock()
            for number, _event in self._poll.poll(_LOOK_MILLISECONDS):
                connection = self._open.pop(number)
                connection.ended_after = time.monotonic() - connection.opened_at
                self._ended.append(connection)
                self._poll.unregister(number)
                connection.line.close()
                if self._again:
                    with contextlib.suppress(OSError):
                        self._connect(connection.kind)

    def _knock(self) -> None:
        """Send an empty line where nothing is read: a kernel that gives up on a client sends it no word of that."""
        for connection in list(self._open.values()):
            if connection.kind == UNREAD:
                with contextlib.suppress(OSError):
                    connection.line.send(b"\r\n", socket.MSG_DONTWAIT)


@contextlib.contextmanager
def slow_clients(base_url: str, path: str, large: str, *, again: bool) -> Iterator[SlowClients]:
    """All kinds, in equal numbers."""
    with SlowClients(base_url, half_requests(base_url, path, large), again=again) as clients:
        yield clients
