"""Lua scripts in one round trip, also inside a pipeline."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from redis import ConnectionPool, Redis
from redis.client import Pipeline
from redis.connection import Connection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from shared.redis_client import guarded

A = TypeVar("A")
B = TypeVar("B")


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
        try:
            return _ask(connection, "EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return _ask(connection, "EVAL", self.text, len(keys), *keys, *args)

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
        connection.send_packed_command(  # type: ignore[no-untyped-call]
            connection.pack_commands(  # type: ignore[no-untyped-call]
                [("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args) for call in calls]
            )
        )
        replies = [_reply(connection) for _ in calls]
        for number, call in enumerate(calls):
            if isinstance(replies[number], NoScriptError):
                connection.send_command("EVAL", call.script.text, len(call.keys), *call.keys, *call.args)  # type: ignore[no-untyped-call]
                replies[number] = _reply(connection)
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return first.read(replies[0]), second.read(replies[1])


def _reply(connection: Connection) -> Any:  # noqa: ANN401 - whatever the script returns
    """What the server answers; a refusal too, for another answer follows it."""
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


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
    connection.connect()


_kept = _KeptConnections()


def _ask(connection: Connection, *command: str | int) -> Any:  # noqa: ANN401 - whatever the script returns
    connection.send_command(*command)  # type: ignore[no-untyped-call]
    return connection.read_response()


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
