"""A line to a server on which every answer takes its time."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from tests.support.free_port import free_port


class SlowLine:
    """Takes connections on ``port`` and passes them on to ``target``; what comes back waits ``delay_seconds``."""

    def __init__(self, target: int) -> None:
        self.port, self._target, self.delay_seconds = free_port(), target, 0.0
        self._server = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            back = threading.Thread(target=self._pass, args=(server, client), kwargs={"slow": True}, daemon=True)
            back.start()
            self._pass(client, server, slow=False)
            back.join()

    def _pass(self, source: socket.socket, sink: socket.socket, *, slow: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if slow and self.delay_seconds:
                    time.sleep(self.delay_seconds)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def slow_line(target: int) -> Iterator[SlowLine]:
    """A line that is open for the length of the block."""
    line = SlowLine(target)
    try:
        yield line
    finally:
        line.close()
