"""Metrics for Prometheus, on a port of their own.

On the port of the API, a proxy's path rule would have to keep them inside. A path has more spellings than such a rule
knows: ``//metrics``, ``/%6detrics``.
"""

import re
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from shared.settings import Environment

HIGHEST_PORT = 65535
RETRY_SECONDS = 1.0
PAUSE_SECONDS = 0.1
HEAD_BYTES = 16 * 1024
SEND_BYTES = 64 * 1024
WAITING_CONNECTIONS = 128
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")

log = structlog.get_logger("metrics")


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may hold. ``client_seconds``: from the connection to the end of the answer."""

    connections: int = 64
    client_seconds: float = 5.0


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class MetricsPort:
    """Where a process shows its metrics."""

    host: str
    port: int


def from_environment(env: Environment) -> MetricsPort | None:
    """Read ``METRICS_PORT`` and ``METRICS_HOST``; None without a port, and then nothing is shown."""
    host = env.text("METRICS_HOST", "127.0.0.1")
    if env.optional("METRICS_PORT") is None:
        return None
    port = env.integer("METRICS_PORT", minimum=1)
    if port > HIGHEST_PORT:
        env.fault(f"METRICS_PORT must be at most {HIGHEST_PORT}")
    return MetricsPort(host, port)


def serve(
    registry: CollectorRegistry, where: MetricsPort, limits: Limits = LIMITS, *, retry_seconds: float = RETRY_SECONDS
) -> None:
    """Show the metrics from a thread of this process, for as long as it lives. Call it in the process that serves.

    While the port is taken, the thread tries again: a process that is renewed lives beside its predecessor for a while.
    """
    threading.Thread(target=_serve, args=(registry, where, limits, retry_seconds), name="metrics", daemon=True).start()


def _serve(registry: CollectorRegistry, where: MetricsPort, limits: Limits, retry_seconds: float) -> None:
    app, told = make_wsgi_app(registry), False
    kind = _Server6 if ":" in where.host else _Server
    while True:
        try:
            server = make_server(where.host, where.port, app, kind, handler_class=_Handler)
        except OSError as error:
            if not told:
                log.warning("metrics are not shown yet", port=where.port, cause=error.strerror or type(error).__name__)
                told = True
            time.sleep(retry_seconds)
        else:
            _Lines(server, limits).serve_forever()


class _Server(WSGIServer):
    """Listens, and knows the app. It is not asked to serve: ``_Lines`` does, without waiting for any client."""

    request_queue_size = WAITING_CONNECTIONS


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    """Answers one request whose head has arrived, in memory: the request is its bytes."""

    def setup(self) -> None:
        """Read from memory and write to memory, where the parent does so on a socket."""
        self.rfile = BytesIO(self.request)
        self.wfile = self.written = BytesIO()

    def finish(self) -> None:
        """Leave the answer where ``_Lines`` finds it."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - as the parent has it
        """Write no access log."""


class _Line:
    """One connection: the head as far as it has come, then what is left of the answer."""

    __slots__ = ("answer", "client", "ends_at", "head", "line")

    def __init__(self, line: socket.socket, client: Any, ends_at: float) -> None:  # noqa: ANN401 - an address
        self.line, self.client, self.ends_at = line, client, ends_at
        self.head = b""
        self.answer: memoryview | None = None


class _Lines:
    """All connections, in one thread that waits for none of them.

    A client that sends half a head, sends a byte now and then or does not read its answer holds one of the few
    connections for a few seconds. Where one more arrives, the oldest ends, so a scraper always finds a place. Scrapes
    are answered one after the other: the thread has one connection to each store.
    """

    def __init__(self, server: _Server, limits: Limits) -> None:
        self._server, self._limits = server, limits
        self._open: dict[_Line, None] = {}  # oldest first
        self._selector = selectors.DefaultSelector()
        server.socket.settimeout(0)
        self._selector.register(server.socket, selectors.EVENT_READ)

    def serve_forever(self) -> None:
        """Accept, read, answer, and end what is late."""
        while True:
            for key, _events in self._selector.select(self._wait_seconds()):
                if key.data is None:
                    self._accept()
                elif key.data in self._open:  # an earlier one of this round may have ended it
                    self._go_on(key.data)
            self._end_late()

    def _wait_seconds(self) -> float | None:
        first = next(iter(self._open), None)
        return None if first is None else max(0.0, first.ends_at - time.monotonic())

    def _accept(self) -> None:
        try:
            line, client = self._server.socket.accept()
        except OSError:  # the client has gone, or the process has no descriptor left
            time.sleep(PAUSE_SECONDS)
            return
        line.settimeout(0)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)  # or each unread answer takes megabytes
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # the kernel ends a client that takes nothing of its answer
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._limits.client_seconds * 1000))
        one = _Line(line, client, time.monotonic() + self._limits.client_seconds)
        if len(self._open) >= self._limits.connections:
            self._end(next(iter(self._open)))
        self._open[one] = None
        self._selector.register(line, selectors.EVENT_READ, one)

    def _go_on(self, one: _Line) -> None:
        """Read or write as much as there is. An error ends this connection and no other."""
        try:
            if one.answer is None:
                self._read(one)
            if one.answer is not None:
                one.answer = one.answer[one.line.send(one.answer) :]
                if not one.answer:
                    self._end(one)
        except BlockingIOError:
            return
        except OSError:
            self._end(one)
        except Exception:
            log.exception("metrics could not be shown")
            self._end(one)

    def _read(self, one: _Line) -> None:
        part = one.line.recv(HEAD_BYTES)
        one.head += part
        if not part or len(one.head) > HEAD_BYTES:
            self._end(one)
        elif _HEAD_ENDS.search(one.head):
            handler = _Handler(one.head, one.client, self._server)  # type: ignore[arg-type]  # its bytes, no socket
            one.answer = memoryview(handler.written.getvalue())
            self._selector.modify(one.line, selectors.EVENT_WRITE, one)

    def _end_late(self) -> None:
        now = time.monotonic()
        for one in list(self._open):
            if one.ends_at > now:
                break
            self._end(one)

    def _end(self, one: _Line) -> None:
        if one in self._open:
            del self._open[one]
            self._selector.unregister(one.line)
            one.line.close()
