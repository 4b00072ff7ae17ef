"""A server that answers like Twilio's POST Messages and Calls, checks what it is sent, and misbehaves on demand.

For tests: ``with TwilioStub() as stub``. As a process: ``python -m tests.support.twilio_stub --port P``, which prints
each message as a line of JSON; other processes read ``GET /messages`` and set ``PUT /behaviour``.
"""

import argparse
import base64
import contextlib
import json
import re
import secrets
import socket
import ssl
import struct
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.free_port import free_port

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "stub-auth-token"

_PATH = re.compile(r"/2010-04-01/Accounts/(AC[0-9a-f]{32})/(Messages|Calls)\.json\Z")
_KNOWN_FIELDS = {"To", "Body", "From", "MessagingServiceSid", "ValidityPeriod", "StatusCallback"}
_FIELDS_OF_CALLS = {"To", "From", "Twiml", "TimeLimit", "Timeout", "StatusCallback"}
_LONGEST_TWIML = 4_000
_E164 = re.compile(r"\+[1-9][0-9]{6,14}\Z")


@dataclass(frozen=True)
class Behaviour:
    """How one request is answered. ``code`` is Twilio's error number, ``reset`` cuts the connection instead.

    ``reset="before"`` cuts it unread and records nothing; ``"after"`` takes the message, then cuts: "maybe sent".
    """

    status: int = 201
    code: int | None = None
    delay: float = 0.0
    reset: str | None = None
    body: str | None = None


@dataclass
class Received:
    """A message that the stub took, and when."""

    to: str
    body: str
    sender: str
    validity_period: int | None
    status_callback: str | None
    sid: str
    wall: float = field(default_factory=time.time)
    monotonic: float = field(default_factory=time.monotonic)


class TwilioStub:
    """The server in a thread. ``script`` behaviours are used up first, then ``default`` holds.

    What another provider's stub does otherwise (http_stub.py) is in the methods from ``read`` to ``error``.
    """

    def __init__(
        self, *, port: int = 0, account_sid: str = ACCOUNT_SID, auth_token: str = AUTH_TOKEN, echo: bool = False
    ):
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.default = Behaviour()
        self.script: deque[Behaviour] = deque()
        self.messages: list[Received] = []
        self.calls: list[dict[str, str]] = []
        self.faults: list[str] = []
        self.requests = 0
        self.shown: Counter[Behaviour] = Counter()
        self.connections = 0
        self.open: set[socket.socket] = set()
        self.echo = echo
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self.port = port or free_port()
        self._open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_down()

    def go_down(self) -> None:
        """Close the port and every connection, as a server that is gone."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self._lock:
            connections, self.open = self.open, set()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Listen again, at the same address."""
        self._open()
        self._thread.start()

    def speak_tls(self, context: ssl.SSLContext) -> None:
        """Take connections over TLS only, from here on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def _open(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.stub = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def will(self, *behaviours: Behaviour) -> None:
        """Answer the next requests so."""
        self.script.extend(behaviours)

    def wait_for(self, count: int, timeout: float = 5.0) -> list[Received]:
        """The messages once there are ``count``; AssertionError when they don't come."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.messages) >= count, timeout):
                words = f"{len(self.messages)} messages arrived, {count} were expected; {self.faults}"
                raise AssertionError(words)
            return list(self.messages)

    def next_behaviour(self) -> Behaviour:
        with self._lock:
            self.requests += 1
            behaviour = self.script.popleft() if self.script else self.default
            self.shown[behaviour] += 1
            return behaviour

    def keep(self, received: Received) -> None:
        """Record a message."""
        with self._arrived:
            self.messages.append(received)
            self._arrived.notify_all()
        if self.echo:
            sys.stdout.write(json.dumps(asdict(received)) + "\n")
            sys.stdout.flush()

    def read(self, path: str, headers: Any, body: bytes) -> tuple[dict[str, str], "Fault | None"]:
        """The message of a request, or what is wrong with it."""
        return _read_form(path, headers, body, self)

    def take(self, form: dict[str, str]) -> str:
        """Record the message or call; the answer."""
        if "Twiml" in form:
            sid = f"CA{secrets.token_hex(16)}"
            with self._arrived:
                self.calls.append({**form, "sid": sid})
                self._arrived.notify_all()
            return json.dumps({"sid": sid, "status": "queued", "to": form["To"], "account_sid": self.account_sid})
        sid, validity = f"SM{secrets.token_hex(16)}", form.get("ValidityPeriod")
        self.keep(
            Received(
                to=form["To"],
                body=form["Body"],
                sender=form.get("From") or form["MessagingServiceSid"],
                validity_period=int(validity) if validity else None,
                status_callback=form.get("StatusCallback"),
                sid=sid,
            )
        )
        answer = {"sid": sid, "status": "accepted", "to": form["To"], "body": form["Body"]}
        return json.dumps({**answer, "account_sid": self.account_sid})

    def refuse(self, form: dict[str, str], behaviour: Behaviour) -> str:
        """The answer to a good request that is refused. Twilio's quotes the number: nothing of it may reach a log."""
        return _error(behaviour.status, behaviour.code, f"The 'To' number {form['To']} was refused.")

    def error(self, fault: "Fault") -> str:
        """The answer to a bad request."""
        return _error(fault.status, fault.code, fault.words)

    def fault(self, words: str) -> None:
        """Note a request that Twilio would not understand."""
        with self._lock:
            self.faults.append(words)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    stub: TwilioStub

    def get_request(self) -> tuple[socket.socket, Any]:
        self.stub.connections += 1
        connection, address = super().get_request()
        self.stub.open.add(connection)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet for each answer

    def do_POST(self) -> None:
        stub = self.server.stub
        behaviour = stub.next_behaviour()
        if behaviour.reset == "before":
            return self._cut()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        message, fault = stub.read(self.path, self.headers, body)
        if fault is not None:
            stub.fault(fault.words)
            return self._answer(fault.status, stub.error(fault))
        taken = behaviour.status < 300 or behaviour.reset == "after"
        answer = stub.take(message) if taken else stub.refuse(message, behaviour)
        if behaviour.delay:
            time.sleep(behaviour.delay)
        if behaviour.reset == "after":
            return self._cut()
        return self._answer(behaviour.status, behaviour.body or answer)

    def do_GET(self) -> None:
        stub = self.server.stub
        if self.path == "/messages":
            return self._answer(200, json.dumps([asdict(message) for message in list(stub.messages)]))
        if self.path == "/faults":
            return self._answer(200, json.dumps(stub.faults))
        return self._answer(200 if self.path == "/healthz" else 404, "{}")

    def do_PUT(self) -> None:
        """``PUT /behaviour {"default": {...}, "script": [{...}]}``, both optional."""
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        if "default" in asked:
            self.server.stub.default = Behaviour(**asked["default"])
        self.server.stub.will(*(Behaviour(**one) for one in asked.get("script", [])))
        self._answer(200, "{}")

    def _answer(self, status: int, body: str) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(content)

    def _cut(self) -> None:
        """End the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Silence; the stub keeps what matters."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a request."""

    status: int
    code: int
    words: str


def _read_form(path: str, headers: Any, body: bytes, stub: TwilioStub) -> tuple[dict[str, str], Fault | None]:
    """The form, or what Twilio would say is wrong with the request."""
    form = {name: values[-1] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
    match = _PATH.match(urlsplit(path).path)
    expected = "Basic " + base64.b64encode(f"{stub.account_sid}:{stub.auth_token}".encode()).decode()
    validity = form.get("ValidityPeriod", "1")
    if match is not None and match[2] == "Calls" and headers.get("Authorization") == expected:
        return form, _fault_of_call(form)
    checks = [
        (match is not None, Fault(404, 20404, "no such path")),
        (headers.get("Authorization") == expected, Fault(401, 20003, "authenticate")),
        (match is not None and match[1] == stub.account_sid, Fault(401, 20003, "another account")),
        (headers.get_content_type() == "application/x-www-form-urlencoded", Fault(400, 20001, "not a form")),
        (not form.keys() - _KNOWN_FIELDS, Fault(400, 20001, f"unknown fields {sorted(form.keys() - _KNOWN_FIELDS)}")),
        (bool(form.get("To")), Fault(400, 21604, "To is missing")),
        (bool(_E164.match(form.get("To", ""))), Fault(400, 21211, "To is not a number")),
        (bool(form.get("From")) != bool(form.get("MessagingServiceSid")), Fault(400, 21603, "no sender, or two")),
        (bool(form.get("Body")), Fault(400, 21602, "Body is missing")),
        (len(form.get("Body", "")) <= 1600, Fault(400, 21617, "Body is too long")),
        (validity.isdecimal() and 1 <= int(validity) <= 36000, Fault(400, 90007, "invalid validity period")),
        (_is_callback(form.get("StatusCallback")), Fault(400, 21609, "invalid StatusCallback")),
    ]
    return form, next((fault for holds, fault in checks if not holds), None)


def _fault_of_call(form: dict[str, str]) -> Fault | None:
    checks = [
        (not form.keys() - _FIELDS_OF_CALLS, Fault(400, 20001, f"unknown fields {sorted(form)}")),
        (bool(_E164.match(form.get("To", ""))), Fault(400, 21211, "To is not a number")),
        (bool(_E164.match(form.get("From", ""))), Fault(400, 21212, "From is not a number")),
        (0 < len(form.get("Twiml", "")) <= _LONGEST_TWIML, Fault(400, 21205, "no TwiML, or too long")),
        (_is_callback(form.get("StatusCallback")), Fault(400, 21609, "invalid StatusCallback")),
    ]
    return next((fault for holds, fault in checks if not holds), None)


def _is_callback(url: str | None) -> bool:
    return url is None or (urlsplit(url).scheme in {"http", "https"} and bool(urlsplit(url).hostname))


def _error(status: int, code: int | None, words: str) -> str:
    if code is None:
        return "<html>no JSON here</html>"
    return json.dumps(
        {"code": code, "message": words, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}
    )


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--account-sid", default=ACCOUNT_SID)
    parser.add_argument("--auth-token", default=AUTH_TOKEN)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that each answer takes")
    asked = parser.parse_args()
    stub = TwilioStub(port=asked.port, account_sid=asked.account_sid, auth_token=asked.auth_token, echo=True)
    stub.default = Behaviour(delay=asked.delay)
    with stub:
        threading.Event().wait()


if __name__ == "__main__":
    main()
