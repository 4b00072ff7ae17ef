"""Lua scripts in one round trip, also inside a pipeline."""

import hashlib
from collections.abc import Sequence
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import NoScriptError


class LuaScript:
    """One script, sent by its digest; the text travels only when the server does not know it yet."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, redis: "Redis", keys: Sequence[str], args: Sequence[str | int]) -> Any:  # noqa: ANN401
        """Run it alone."""
        try:
            return redis.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return redis.eval(self.text, len(keys), *keys, *args)

    def queue(self, pipeline: "Pipeline", keys: Sequence[str], args: Sequence[str | int]) -> None:
        """Add it to a pipeline that execute_scripted will send."""
        pipeline.evalsha(self.sha, len(keys), *keys, *args)


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
