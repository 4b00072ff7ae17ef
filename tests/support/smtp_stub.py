"""A mail server of one thread, just enough of RFC 5321 to take a letter or refuse it."""

import socketserver
import threading
from dataclasses import dataclass
from typing import Self

from tests.support.free_port import free_port


@dataclass
class Letter:
    """What was handed over."""

    sender: str
    recipients: list[str]
    content: str


class SmtpStub:
    """``answers`` replaces the reply to a command word ("RCPT", "DATA", ".", "AUTH" …); None cuts the connection."""

    def __init__(self) -> None:
        self.answers: dict[str, str | None] = {}
        self.letters: list[Letter] = []
        self.credentials: list[str] = []
        self.port = free_port()
        self._server = _Server(("127.0.0.1", self.port), _Conversation)
        self._server.stub = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    stub: SmtpStub

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what some tests are about."""


class _Conversation(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self._letter = Letter("", [], "")
        if not self._say("CONNECT", "220 stub"):
            return
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            word = line.split(" ", 1)[0].upper()
            if not self._on(word, line) or word == "QUIT":
                return

    def _on(self, word: str, line: str) -> bool:
        match word:
            case "EHLO":
                return self._say(word, "250-stub\r\n250 AUTH PLAIN")
            case "AUTH":
                self.server.stub.credentials.append(line.rsplit(" ", 1)[-1])
                return self._say(word, "235 ok")
            case "MAIL":
                self._letter = Letter(line.partition(":")[2].split(" ")[0].strip("<>"), [], "")
                return self._say(word, "250 ok")
            case "RCPT":
                self._letter.recipients.append(line.partition(":")[2].strip("<>"))
                return self._say(word, "250 ok")
            case "DATA":
                return self._say(word, "354 go on") and (word in self.server.stub.answers or self._take())
            case "QUIT":
                return self._say(word, "221 bye")
            case _:
                return self._say(word, "250 ok")

    def _take(self) -> bool:
        lines = []
        while (line := self.rfile.readline().decode()) not in {".\r\n", ""}:
            lines.append(line.removeprefix("."))
        self._letter.content = "".join(lines)
        if (self.server.stub.answers.get(".", "250") or "250").startswith("250"):
            self.server.stub.letters.append(self._letter)
        return self._say(".", "250 taken")

    def _say(self, word: str, usual: str) -> bool:
        answer = self.server.stub.answers.get(word, usual)
        if answer is None:
            return False
        self.wfile.write(answer.encode() + b"\r\n")
        return True
