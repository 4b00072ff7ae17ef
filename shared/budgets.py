"""How often something may be tried: counted before it is tried, all windows in one atomic step."""

import itertools
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.client import Pipeline

from shared.lua import LuaScript
from shared.problems import Refusal

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``max`` tries in ``seconds`` from the first one."""

    max: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Rate:
    """A row of a service's limits table. ``by`` says what the subject is; a store that is down refuses."""

    name: str
    by: str
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """The reply to a count: allowed or not, when to come back, and the tries in the first charge's longest window."""

    allowed: bool
    retry_after_seconds: int
    count: int

    def require(self) -> "Taken":
        """Raise 429 too_many_requests unless the budget had room."""
        if not self.allowed:
            raise Refusal("too_many_requests", retry_after_seconds=self.retry_after_seconds)
        return self


# A refused try is not counted: it was not evaluated, and counting it would let a stranger extend the owner's wait.
TAKE_SCRIPT = LuaScript("""
local wait = 0
for i, key in ipairs(KEYS) do
  local count = tonumber(redis.call('GET', key) or '0')
  if count >= tonumber(ARGV[2 * i - 1]) then
    wait = math.max(wait, redis.call('PTTL', key), 1)
  end
end
local shown = tonumber(ARGV[#ARGV])
if wait > 0 then return {0, wait, tonumber(redis.call('GET', KEYS[shown]) or '0')} end
local told
for i, key in ipairs(KEYS) do
  local count = redis.call('INCR', key)
  if count == 1 then redis.call('PEXPIRE', key, ARGV[2 * i]) end
  if i == shown then told = count end
end
return {1, 0, told}
""")

# Gives one try back; a window that ended meanwhile stays ended.
REFUND_SCRIPT = LuaScript("""
for _, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') > 0 then redis.call('DECR', key) end
end
return 1
""")


@dataclass(frozen=True, slots=True)
class Charge:
    """One rate for one subject. Subjects that are personal data (IP, email, phone) come as keyed digests."""

    rate: Rate
    subject: str

    def keys(self) -> list[str]:
        """The Redis counters, shortest window first."""
        return [f"budget:{self.rate.name}:{window.seconds}:{self.subject}" for window in self.rate.windows]

    def args(self) -> list[int]:
        """max and milliseconds, a pair a window."""
        return [number for window in self.rate.windows for number in (window.max, window.seconds * 1000)]


def take(redis: "Redis", *charges: Charge) -> Taken:
    """Count one try against every charge, or against none when one of them is spent. Raises RedisError."""
    return read_taken(TAKE_SCRIPT.run(redis, _keys(charges), _args(charges)))


def queue_take(pipeline: "Pipeline", *charges: Charge) -> None:
    """The same inside a pipeline; read the reply with read_taken."""
    TAKE_SCRIPT.queue(pipeline, _keys(charges), _args(charges))


def read_taken(reply: Any) -> Taken:  # noqa: ANN401 - what redis-py returns
    """The reply of the script as a value."""
    allowed, wait_ms, count = (int(number) for number in reply)
    return Taken(bool(allowed), -(-wait_ms // 1000), count)


def refund(redis: "Redis", *charges: Charge) -> None:
    """Give one try back: a success is not a try that anyone has to pay for."""
    REFUND_SCRIPT.run(redis, _keys(charges), [])


def queue_refund(pipeline: "Pipeline", *charges: Charge) -> None:
    """The same inside a pipeline."""
    REFUND_SCRIPT.queue(pipeline, _keys(charges), [])


def clear(redis: "Redis", *charges: Charge) -> None:
    """Forget all tries (support lifted a lock)."""
    redis.delete(*_keys(charges))


def _keys(charges: tuple[Charge, ...]) -> list[str]:
    return list(itertools.chain.from_iterable(charge.keys() for charge in charges))


def _args(charges: tuple[Charge, ...]) -> list[int]:
    return [*(number for charge in charges for number in charge.args()), len(charges[0].rate.windows)]
