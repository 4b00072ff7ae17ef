"""Runs a WSGI app for requests that have arrived as a whole. How they arrive is granian's; who starts it is serving's.

granian calls ``Arrivals`` as soon as it has read the head of a request (its RSGI interface). A request without a body
runs at once, in the thread of that call. For one with a body the thread asks granian for the body and returns; another
thread runs the app when the body is complete. So a client that sends half a body holds no thread. Routes that wait for
slow work have threads of their own (bulkhead.py).

A body that is not complete after ``BODY_SECONDS`` is answered with 408, and the connection ends. A file is sent by
granian, and any other answer is handed over as a whole, so a client that does not read holds no thread either.
"""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from typing import IO, Any, Protocol

from shared.bulkhead import EXTENSION, Bulkhead

MAX_BODY_BYTES = 16 * 1024
# A client that sends each byte as a chunk would cost a turn of a thread for each. Real clients send one to three.
MAX_CHUNKS = 64
# With HEAD_SECONDS (serving.py) and the watch's own pause, a connection with half a request ends within ten seconds.
BODY_SECONDS = 4.0
WATCH_SECONDS = 0.5
# In the environ of a request that has no whole body: the problem code with which the app refuses it.
REFUSED = "latchkey.refused"

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., None]], Iterable[bytes]]

log = logging.getLogger("latchkey.serving")


class Body(Protocol):
    """What granian promises: a part of a body, or all of it."""

    def add_done_callback(self, callback: Callable[["Body"], None], context: None = None) -> None:
        """Call back when it is there, at once if it is there already."""

    def result(self) -> bytes:
        """What came. Raises when the client has gone."""

    def cancel(self) -> bool:
        """Wait no longer."""


class Headers(Protocol):
    """The headers of a request, with lower-case names."""

    def items(self) -> list[tuple[str, str]]:
        """Each line whose value is ASCII."""

    def keys(self) -> list[str]:
        """Each name once."""

    def __len__(self) -> int:
        """How many names."""


class Scope(Protocol):
    """The head of a request."""

    http_version: str
    scheme: str
    method: str
    path: str
    query_string: str
    authority: str | None
    server: str
    client: str
    headers: Headers


class Exchange(Protocol):
    """A request's body, and the way of its answer. Only the first answer counts."""

    def __call__(self) -> Body:
        """The whole body."""

    def __aiter__(self) -> object:
        """Read by chunks from here on."""

    def __anext__(self) -> Body:
        """The next chunk, empty at the end. Raises StopAsyncIteration after it."""

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        """An answer without a body."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """An answer."""

    def response_file(self, status: int, headers: list[tuple[str, str]], file: str) -> None:
        """An answer whose body is this file."""


class Watcher(Protocol):
    """What granian calls us with."""

    scope: Scope
    proto: Exchange


class Directly:
    """What granian takes for an event loop: a callback runs at once, in the thread of granian's that has the result."""

    def call_soon(self, callback: Callable[..., object], *args: object, context: object = None) -> None:
        """Call it."""
        del context
        callback(*args)

    call_soon_threadsafe = call_soon


class _File:
    """``wsgi.file_wrapper`` (PEP 3333): a file that granian sends by its name."""

    def __init__(self, file: IO[bytes], block_bytes: int = 8192) -> None:
        self._file = file
        self._block_bytes = block_bytes

    @property
    def name(self) -> str | None:
        """Where it stands; None for what only looks like a file."""
        name = getattr(self._file, "name", None)
        return name if isinstance(name, str) else None

    def __iter__(self) -> Iterator[bytes]:
        return iter(partial(self._file.read, self._block_bytes), b"")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Arrival:
    """A request whose body is on its way. ``awaited`` is set while granian has nothing more for us."""

    __slots__ = ("awaited", "chunks", "environ", "exchange", "size")

    def __init__(self, environ: Environ, exchange: Exchange) -> None:
        self.environ = environ
        self.exchange = exchange
        self.awaited: Body | None = None
        self.chunks: list[bytes] = []
        self.size = 0


class Arrivals:
    """The app's requests, from their heads on."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._bulkhead: Bulkhead | None = getattr(app, "extensions", {}).get(EXTENSION)
        self._fixed: Environ = {
            "SCRIPT_NAME": "",
            "SERVER_SOFTWARE": "granian",
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.input_terminated": True,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": _File,
        }
        # Oldest first. Who takes one out answers it, and nobody else: a dictionary's pop is one step.
        self._waiting: dict[_Arrival, float] = {}
        threading.Thread(target=self._watch, name="late-bodies", daemon=True).start()

    def __call__(self, watcher: Watcher) -> None:
        """A head has arrived. Never raises: granian does not look."""
        exchange = watcher.proto
        try:
            environ = self._environ(watcher.scope)
            if "HTTP_TRANSFER_ENCODING" in environ:
                self._await_chunks(_Arrival(environ, exchange))
            elif 0 < int(environ.get("CONTENT_LENGTH", 0)) <= MAX_BODY_BYTES:
                self._await_body(_Arrival(environ, exchange))
            else:  # no body, or one that the app refuses by its length
                self._run(environ, exchange, b"")
        except Exception:
            log.exception("a request could not be begun")
            exchange.response_empty(500, [])

    def _environ(self, scope: Scope) -> Environ:
        path, query = scope.path, scope.query_string
        environ: Environ = {
            **self._fixed,
            "REQUEST_METHOD": scope.method,
            "PATH_INFO": path if path.isascii() else path.encode().decode("latin-1"),
            "QUERY_STRING": query if query.isascii() else query.encode().decode("latin-1"),
            "SERVER_PROTOCOL": "HTTP/1.1" if scope.http_version == "1.1" else "HTTP/1.0",
            "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
            "wsgi.url_scheme": scope.scheme,
        }
        host, _, environ["SERVER_PORT"] = scope.server.rpartition(":")
        environ["SERVER_NAME"] = host.strip("[]")
        _add_headers(environ, scope.headers)
        if "HTTP_HOST" not in environ:  # as granian's WSGI has it; without it, the app would take SERVER_NAME for it
            environ["HTTP_HOST"] = scope.authority or ""
        return environ

    # --- bodies -------------------------------------------------------------------------------------------------------

    def _await_body(self, arrival: _Arrival) -> None:
        self._await(arrival, arrival.exchange(), self._whole)

    def _await_chunks(self, arrival: _Arrival) -> None:
        arrival.exchange.__aiter__()
        self._await(arrival, arrival.exchange.__anext__(), self._chunk)

    def _await(self, arrival: _Arrival, body: Body, then: Callable[[_Arrival, Body], None]) -> None:
        arrival.awaited = body
        self._waiting.setdefault(arrival, time.monotonic() + BODY_SECONDS)
        body.add_done_callback(partial(then, arrival))

    def _whole(self, arrival: _Arrival, body: Body) -> None:
        if self._take(arrival):
            self._run_with(arrival, body.result)

    def _chunk(self, arrival: _Arrival, body: Body) -> None:
        if arrival not in self._waiting:
            return
        chunk = b""
        with contextlib.suppress(Exception):
            chunk = body.result()
        arrival.chunks.append(chunk)
        arrival.size += len(chunk)
        if arrival.size > MAX_BODY_BYTES or len(arrival.chunks) > MAX_CHUNKS:
            arrival.environ[REFUSED] = "body_too_large"
            self._finish(arrival, b"")
            return
        try:
            following = arrival.exchange.__anext__()
        except StopAsyncIteration:
            self._finish(arrival, b"".join(arrival.chunks))
            return
        if chunk:
            self._await(arrival, following, self._chunk)
        elif self._take(arrival):  # an empty chunk that was not the last one: the client has gone
            following.cancel()
            arrival.exchange.response_empty(400, [])

    def _finish(self, arrival: _Arrival, body: bytes) -> None:
        if self._take(arrival):
            self._run(arrival.environ, arrival.exchange, body)

    def _take(self, arrival: _Arrival) -> bool:
        """Whether it is this caller's to answer. Also lets go of granian's promise, which knows the arrival."""
        taken = self._waiting.pop(arrival, None) is not None
        if taken:
            arrival.awaited = None
        return taken

    def _watch(self) -> None:
        """Answer what is late, from a thread of its own."""
        while True:
            time.sleep(WATCH_SECONDS)
            self._refuse_late()

    def _refuse_late(self) -> None:
        """Apart from the loop: granian ends a connection when nothing of ours names its request."""
        now = time.monotonic()
        for arrival, ends_at in list(self._waiting.items()):
            if ends_at > now:
                break
            awaited = arrival.awaited
            if self._take(arrival):
                if awaited is not None:
                    awaited.cancel()
                arrival.environ[REFUSED] = "request_timeout"
                self._run(arrival.environ, arrival.exchange, b"")

    # --- answers ------------------------------------------------------------------------------------------------------

    def _run_with(self, arrival: _Arrival, result: Callable[[], bytes]) -> None:
        try:
            body = result()
        except Exception:  # noqa: BLE001 - granian has several; each says that the client has gone
            arrival.exchange.response_empty(400, [])
            return
        self._run(arrival.environ, arrival.exchange, body)

    def _run(self, environ: Environ, exchange: Exchange, body: bytes) -> None:
        """Serve the request on this thread, or where it is a route of the app's bulkhead, there. Never raises."""
        serve, bulkhead = partial(self._serve, environ, exchange, body), self._bulkhead
        if bulkhead is not None and bulkhead.has(environ["REQUEST_METHOD"], environ["PATH_INFO"]):
            if bulkhead.run(serve):
                return
            environ[REFUSED] = "service_unavailable"
        serve()

    def _serve(self, environ: Environ, exchange: Exchange, body: bytes) -> None:
        """Run the app and hand its answer over. Never raises."""
        environ["wsgi.input"] = BytesIO(body)
        status, headers = "500 ", list[tuple[str, str]]()

        def start_response(said: str, named: list[tuple[str, str]], _error: object = None) -> None:
            nonlocal status, headers
            status, headers = said, named

        try:
            parts = self._app(environ, start_response)
            try:
                name = parts.name if isinstance(parts, _File) else None
                if name is not None:
                    exchange.response_file(int(status[:3]), headers, name)
                else:
                    exchange.response_bytes(int(status[:3]), headers, b"".join(parts))
            finally:
                if (close := getattr(parts, "close", None)) is not None:
                    close()
        except Exception:
            log.exception("the app failed")
            exchange.response_empty(500, [])


def _add_headers(environ: Environ, headers: Headers) -> None:
    """Each header under CGI's name, values of one name joined.

    A name with an underscore is left out, as proxies do: it would pass for the one with a hyphen, X_Forwarded_For for
    X-Forwarded-For.
    """
    names = 0
    for name, value in headers.items():
        if "_" in name:
            continue
        key = _cgi_name(name)
        if key in environ:
            # Not by a comma in cookies (RFC 6265 §5.4).
            environ[key] += f"{';' if name == 'cookie' else ','}{value}"
        else:
            environ[key] = value
            names += 1
    if names < len(headers):
        for name in headers.keys():  # noqa: SIM118 - it is no mapping
            if "_" not in name:
                environ.setdefault(_cgi_name(name), "")  # its value is not ASCII


def _cgi_name(name: str) -> str:
    key = name.replace("-", "_").upper()
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
