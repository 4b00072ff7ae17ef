"""RabbitMQ as Celery's broker: kombu's transport, with less to do for each message.

py-amqp reads a message in nine calls, each between two more that switch the socket to non-blocking and back, and kombu
turns the worker's loop once more for it: a good part of what a message costs (docs/performance.md).
"""

import contextlib
import socket
from typing import Any

from amqp.exceptions import RecoverableConnectionError
from amqp.transport import TCPTransport
from kombu.transport import pyamqp

_AT_ONCE = 65536
# Type, channel and the payload's size (AMQP 0-9-1 §4.2.3); then the payload, and an octet that ends the frame.
_HEADER, _SIZE_AT, _END = 7, 3, 1


class AheadTransport(TCPTransport):  # type: ignore[misc]  # py-amqp has no types
    """Reads what has come, as much as there is, where its caller would not wait for more."""

    def take_frame(self) -> Any:  # noqa: ANN401 - py-amqp's
        """The next frame. Raises TimeoutError when it is not here as a whole yet, and OSError."""
        while not self.holds_frame():
            self._read_ahead()
        return self.read_frame()

    def holds_frame(self) -> bool:
        """Whether the next frame is here as a whole, and the connection is open."""
        have = self._read_buffer if self.connected else b""
        size = int.from_bytes(have[_SIZE_AT:_HEADER], "big")
        return len(have) >= _HEADER and len(have) >= _HEADER + size + _END

    def _read_ahead(self) -> None:
        try:
            came = self.sock.recv(_AT_ONCE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            raise TimeoutError from None
        except OSError:
            self.connected = False
            raise
        if not came:
            self.connected = False
            raise ConnectionResetError("the broker has closed the connection")
        self._read_buffer += came


class _Connection(pyamqp.Connection):
    def Transport(self, host: str, connect_timeout: float, _tls: object, *args: Any, **options: Any) -> TCPTransport:  # noqa: ANN401, N802 - py-amqp's
        return AheadTransport(host, connect_timeout, *args, **options)

    def drain_events(self, timeout: float | None = None) -> None:
        """py-amqp's own: serve frames until a message is whole. Raises TimeoutError, OSError.

        Who asks without waiting, which is the event loop, has every frame served that was read ahead: it looks again
        when the socket has something to read, and knows nothing of what is in our hands. Who waits reads no further
        than the answer, as ever.
        """
        if timeout != 0:
            super().drain_events(timeout)
            return
        transport = self.transport
        while not self.on_inbound_frame(transport.take_frame()) or transport.holds_frame():
            pass


class RabbitMqTransport(pyamqp.Transport):
    """kombu's own for ``amqp://``."""

    Connection = _Connection

    def on_readable(self, connection: _Connection, loop: Any) -> None:  # noqa: ANN401 - kombu's hub
        """Serve what has come. Raises RecoverableConnectionError, OSError.

        kombu's own turns the loop once more, to hear that nothing is left. The loop is told when more comes; of what is
        in our hands it is not, should who acts on a message raise a TimeoutError.
        """
        if not connection.connected:
            raise RecoverableConnectionError("the connection is closed")
        while True:
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=0)
            if not connection.connected:
                loop.call_soon(self.on_readable, connection, loop)
                return
            if not connection.transport.holds_frame():
                return
