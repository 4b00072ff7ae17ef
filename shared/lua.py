"""Lua scripts in one round trip, also inside a pipeline."""

import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from hiredis import pack_command
from redis import ConnectionPool, Redis
from redis.client import Pipeline
from redis.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.redis_client import guarded

A = TypeVar("A")
B = TypeVar("B")

_Command = tuple[str | int, ...]


class LuaScript:
    """One script, sent by its digest; the text travels only when the server does not know it yet."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, redis: "Redis", keys: Sequence[str], args: Sequence[str | int]) -> Any:  # noqa: ANN401
        """Run it alone. Raises RedisError; a script whose answer was lost is not repeated: it may have claimed."""
        with guarded(redis):
            return self.over(_kept.connection(redis.connection_pool), keys, args)

    def over(self, connection: Connection, keys: Sequence[str], args: Sequence[str | int]) -> Any:  # noqa: ANN401
        """Run it over this connection, which is in step with the server. Raises RedisError."""
        [reply] = _exchange(connection, self.by_digest(keys, args))
        if isinstance(reply, NoScriptError):
            [reply] = _exchange(connection, self.by_text(keys, args))
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def by_digest(self, keys: Sequence[str], args: Sequence[str | int]) -> _Command:
        """The command for a server that knows the script."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)

    def by_text(self, keys: Sequence[str], args: Sequence[str | int]) -> _Command:
        """The command for one that does not, and will."""
        return ("EVAL", self.text, len(keys), *keys, *args)

    def queue(self, pipeline: "Pipeline", keys: Sequence[str], args: Sequence[str | int]) -> None:
        """Add it to a pipeline that execute_scripted will send."""
        pipeline.evalsha(self.sha, len(keys), *keys, *args)


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """A script with what it works on, and how its reply is read."""

    script: LuaScript
    keys: Sequence[str]
    args: Sequence[str | int]
    read: Callable[[Any], A]

    def run(self, redis: "Redis") -> A:
        """Run it alone. Raises RedisError."""
        return self.read(self.script.run(redis, self.keys, self.args))


def together(redis: "Redis", first: Call[A], second: Call[B]) -> tuple[A, B]:
    """Run two scripts one after the other in one round trip; others may come between, and one may fail alone.

    Raises RedisError.
    """
    calls: tuple[Call[Any], Call[Any]] = (first, second)
    with guarded(redis):
        connection = _kept.connection(redis.connection_pool)
        replies = _exchange(connection, *(call.script.by_digest(call.keys, call.args) for call in calls))
        for number, call in enumerate(calls):
            if isinstance(replies[number], NoScriptError):
                [replies[number]] = _exchange(connection, call.script.by_text(call.keys, call.args))
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return first.read(replies[0]), second.read(replies[1])


class _KeptConnections(threading.local):
    """A connection of each pool for each thread: what a pool does for every command costs as much as the command."""

    def __init__(self) -> None:
        self._of = _ConnectionOfPool()

    def connection(self, pool: ConnectionPool) -> Connection:
        """One that is connected, and in step with the server. Raises RedisError."""
        connection = self._of.get(pool)
        if connection is None:
            connection = self._of[pool] = pool.connection_class(**pool.connection_kwargs)
        put_in_step(connection)
        return connection


class _ConnectionOfPool(WeakKeyDictionary[ConnectionPool, Connection]):
    """Hangs up when its thread ends; redis-py's own would wait for the garbage collector."""

    def __del__(self) -> None:
        for connection in list(self.values()):
            connection.disconnect()  # type: ignore[no-untyped-call]


def put_in_step(connection: Connection) -> None:
    """Connect it, anew if something is there to be read. Raises RedisError.

    Nobody asked: the server has closed it, or an answer came too late.
    """
    if connection.is_connected:
        try:
            in_step = not connection.can_read(timeout=0)
        except (RedisError, OSError):
            in_step = False
        if not in_step:
            connection.disconnect()  # type: ignore[no-untyped-call]
    connection.connect()  # type: ignore[no-untyped-call]
    _time_out_in_the_kernel(connection)


def _time_out_in_the_kernel(connection: Connection) -> None:
    """Python's own time-outs ask the kernel before each call whether it would wait, and each call costs a turn."""
    sock: object = getattr(connection, "_sock", None)
    if type(sock) is socket.socket and (seconds := sock.gettimeout()):
        timeval = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        sock.settimeout(None)


_kept = _KeptConnections()


def _exchange(connection: Connection, *commands: _Command) -> list[Any]:
    """What the server answers to each command, in one round trip; a refusal too, for another answer follows it.

    redis-py's own packing looks at each argument several times, and costs as much as all else that is done here.
    """
    try:
        packed = b"".join(pack_command(command) for command in commands)  # type: ignore[arg-type]  # its stub is wrong
        connection.send_packed_command([packed])  # type: ignore[no-untyped-call]
        return [_reply(connection) for _ in commands]
    except RedisConnectionError as error:
        if isinstance(error.__context__, BlockingIOError):  # the kernel's time-out, which redis-py does not know
            raise RedisTimeoutError("the server has not answered in time") from error
        raise


def _reply(connection: Connection) -> Any:  # noqa: ANN401 - whatever the script returns
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def execute_scripted(redis: "Redis", pipeline: "Pipeline", *scripts: LuaScript) -> list[Any]:
    """Send a pipeline that holds scripts. redis-py's own Script asks SCRIPT EXISTS first: a second round trip.

    A server that forgot the scripts answers NOSCRIPT for them alone, so what else the pipeline holds must be reads.
    """
    commands = list(pipeline.command_stack)
    try:
        return pipeline.execute()
    except NoScriptError:
        for script in scripts:
            redis.script_load(script.text)
        pipeline.command_stack = commands
        return pipeline.execute()
