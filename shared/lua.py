"""Lua scripts in one round trip, also inside a pipeline."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import NoScriptError, RedisError, ResponseError

from shared.redis_client import guarded
from shared.redis_line import Command, RedisLine, line_of

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
            return self.over(line_of(redis.connection_pool), keys, args)

    def over(self, line: RedisLine, keys: Sequence[str], args: Sequence[str | int]) -> Any:  # noqa: ANN401
        """Run it over this line. Raises RedisError."""
        [reply] = line.ask(self.by_digest(keys, args))
        if isinstance(reply, NoScriptError):
            [reply] = line.ask(self.by_text(keys, args))
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def by_digest(self, keys: Sequence[str], args: Sequence[str | int]) -> Command:
        """The command for a server that knows the script."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)

    def by_text(self, keys: Sequence[str], args: Sequence[str | int]) -> Command:
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
        line = line_of(redis.connection_pool)
        replies = line.ask(*(call.script.by_digest(call.keys, call.args) for call in calls))
        for number, call in enumerate(calls):
            if isinstance(replies[number], NoScriptError):
                [replies[number]] = line.ask(call.script.by_text(call.keys, call.args))
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return first.read(replies[0]), second.read(replies[1])


def execute_scripted(redis: "Redis", pipeline: "Pipeline", *scripts: LuaScript) -> list[Any]:
    """Send a pipeline that holds these scripts over this thread's line; the reply to each of its commands.

    The pipeline has no transaction. Raises RedisError.

    A server that does not know a script answers NOSCRIPT to that command and runs the others. It may forget a script
    between two commands (SCRIPT FLUSH, a failover), so only what it answered so is sent once more, as text, and runs
    after the rest. redis-py's own Script asks SCRIPT EXISTS first: a second round trip.
    """
    texts = {script.sha: script.text for script in scripts}
    commands: list[Command] = [command for command, _options in pipeline.command_stack]
    with guarded(redis):
        line = line_of(redis.connection_pool)
        pipeline.reset()
        replies = line.ask(*commands)
        for number, reply in enumerate(replies):
            if isinstance(reply, NoScriptError):
                _evalsha, sha, *keys_and_args = commands[number]
                [replies[number]] = line.ask(("EVAL", texts[str(sha)], *keys_and_args))
    for reply in replies:
        if isinstance(reply, RedisError):
            raise reply
    return replies
