"""Lines to Redis that are kept: what redis-py's client and pool do for a command costs more than the command."""

import select
import socket
import struct
import sys
import threading
from typing import Any
from weakref import WeakKeyDictionary

from hiredis import PushNotification, Reader, pack_command
from redis import ConnectionPool
from redis.connection import Connection, DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

Command = tuple[str | int, ...]

_READ_BYTES = 32768
_MORE = object()  # is to be read before the next answer is here as a whole


class RedisLine:
    """A connection for one user at a time, who asks and hears before the next one does.

    On a plain socket it asks by itself; TLS, and what is no server at all, go through redis-py.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._plain: _Plain | None = None

    def ask(self, *commands: Command) -> list[Any]:
        """What the server answers to each command, in one round trip; a refusal too, for another answer follows it.

        Raises RedisError, and hangs up then: an answer may be on its way.
        """
        plain = self._in_step()
        packed = b"".join(pack_command(command) for command in commands)  # type: ignore[arg-type]  # its stub is wrong
        try:
            if plain:
                return plain.ask(packed, len(commands))
            self._connection.send_packed_command([packed])  # type: ignore[no-untyped-call]
            return [self._reply() for _ in commands]
        except BaseException:
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """The next who asks is connected anew."""
        self._plain = None
        self._connection.disconnect()  # type: ignore[no-untyped-call]

    def _in_step(self) -> "_Plain | None":
        """Connected, anew if something is there to be read. Raises RedisError.

        Nobody asked: the server has closed it, or an answer came too late.
        """
        if self._connection.is_connected:
            try:
                in_step = not (self._plain.has_something() if self._plain else self._connection.can_read(timeout=0))
            except (RedisError, OSError):
                in_step = False
            if in_step and self._plain:
                return self._plain
            if not in_step:
                self.hang_up()
        self._connection.connect()  # type: ignore[no-untyped-call]
        self._plain = _Plain.of(self._connection)
        return self._plain

    def _reply(self) -> Any:  # noqa: ANN401 - whatever the command returns
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error


class _Plain:
    """The socket itself, and a reader of what comes.

    Its time-outs are the kernel's. Python's own ask the kernel before each call whether it would wait, and each call
    costs the thread its turn.
    """

    def __init__(self, sock: socket.socket, reader: Reader) -> None:
        self._sock, self._reader = sock, reader
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        self._poll = poll.poll

    @classmethod
    def of(cls, connection: Connection) -> "_Plain | None":
        sock: object = getattr(connection, "_sock", None)
        if type(sock) is not socket.socket:
            return None
        if seconds := sock.gettimeout():
            timeval = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
            sock.settimeout(None)
        text = connection.encoder.encoding if connection.encoder.decode_responses else None
        return cls(
            sock,
            Reader(
                protocolError=InvalidResponse,
                replyError=DefaultParser.parse_error,
                encoding=text,
                errors=connection.encoder.encoding_errors,
                notEnoughData=_MORE,
            ),
        )

    def has_something(self) -> bool:
        """Whether something is there to be read, be it the end."""
        return bool(self._poll(0))

    def ask(self, packed: bytes, answers: int) -> list[Any]:
        """Send, and read that many answers. Raises RedisError."""
        try:
            self._sock.sendall(packed)
            return [self._answer() for _ in range(answers)]
        except BlockingIOError as error:  # the kernel's time-out
            raise RedisTimeoutError("the server has not answered in time") from error
        except OSError as error:
            raise RedisConnectionError(f"the connection was lost: {type(error).__name__}") from error

    def _answer(self) -> Any:  # noqa: ANN401 - whatever the command returns
        while (answer := self._reader.gets()) is _MORE or isinstance(answer, PushNotification):
            if answer is _MORE:
                self._read()
        if isinstance(answer, RedisConnectionError):  # a server that still loads its file, or knows us no more
            raise answer
        return answer

    def _read(self) -> None:
        read = self._sock.recv(_READ_BYTES)
        if not read:
            raise RedisConnectionError("the server has closed the connection")
        self._reader.feed(read)


class _LineOfPool(WeakKeyDictionary[ConnectionPool, RedisLine]):
    """Hangs up when its thread ends; redis-py's own connections would wait for the garbage collector."""

    def __del__(self) -> None:
        if not sys.is_finalizing():  # the process hangs up by its end, and what would be called may be gone
            for line in list(self.values()):
                line.hang_up()


class _Lines(threading.local):
    def __init__(self) -> None:
        self.of = _LineOfPool()


_lines = _Lines()


def line_of(pool: ConnectionPool) -> RedisLine:
    """The line to this pool's server that the present thread keeps."""
    line = _lines.of.get(pool)
    if line is None:
        line = _lines.of[pool] = RedisLine(pool.connection_class(**pool.connection_kwargs))
    return line
