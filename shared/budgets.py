"""How often something may be tried: counted before it is tried, all windows in one atomic step."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.lua import LuaScript
from shared.problems import Refusal, Unavailable

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
    """The reply to a count: allowed or not, and when to come back.

    ``counts``: the tries in each charge's longest window, this one included. ``waits``: seconds until each charge has
    room, 0 where it has. ``read``: what stood at the keys that were to be read in the same step: text, a list of fields
    and values, or None.
    """

    allowed: bool
    retry_after_seconds: int
    counts: tuple[int, ...]
    waits: tuple[int, ...]
    read: tuple[Any, ...] = ()

    def require(self) -> "Taken":
        """Raise 429 too_many_requests unless the budget had room."""
        if not self.allowed:
            raise Refusal("too_many_requests", retry_after_seconds=self.retry_after_seconds)
        return self


# A refused try is not counted: it was not evaluated, and counting it would let a stranger extend the owner's wait.
# ARGV is three a counter: its max, its milliseconds, and the place of the key that must be there for it to count (0:
# none must). The keys after the counters are read in the same step.
_TAKE = LuaScript("""
local counters, spent, counted, waits, counts, read = #ARGV / 3, false, {}, {}, {}, {}
for i = 1, counters do
  local condition = tonumber(ARGV[3 * i])
  counted[i] = condition == 0 or redis.call('EXISTS', KEYS[condition]) == 1
  counts[i], waits[i] = tonumber(redis.call('GET', KEYS[i]) or '0'), 0
  if counted[i] and counts[i] >= tonumber(ARGV[3 * i - 2]) then
    spent, waits[i] = true, math.max(redis.call('PTTL', KEYS[i]), 1)
  end
end
for i = 1, counters do
  if counted[i] and not spent then
    counts[i] = redis.call('INCR', KEYS[i])
    if counts[i] == 1 then redis.call('PEXPIRE', KEYS[i], ARGV[3 * i - 1]) end
  end
end
for i = counters + 1, #KEYS do
  local reader = ({string = 'GET', hash = 'HGETALL'})[redis.call('TYPE', KEYS[i]).ok]
  read[i - counters] = reader and redis.call(reader, KEYS[i]) or false
end
return {waits, counts, read}
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
    """One rate for one subject. Subjects that are personal data (IP, email, phone) come as keyed digests.

    ``only_while``: it counts, and refuses, only while there is such a key, which is one of those that are read with it.
    """

    rate: Rate
    subject: str
    only_while: str | None = None

    def keys(self) -> list[str]:
        """The Redis counters, shortest window first."""
        return [f"budget:{self.rate.name}:{window.seconds}:{self.subject}" for window in self.rate.windows]

    def args(self, condition: int) -> list[int]:
        """max, milliseconds and the place of ``only_while`` among the script's keys, three a window."""
        return [number for window in self.rate.windows for number in (window.max, window.seconds * 1000, condition)]


def take(redis: "Redis", *charges: Charge, read: Sequence[str] = ()) -> Taken:
    """Count one try against every charge, or against none when one of them is spent; then read these keys.

    One round trip, all of it one step. Raises RedisError.
    """
    counters = _keys(charges)
    conditions = [0 if c.only_while is None else len(counters) + read.index(c.only_while) + 1 for c in charges]
    args = [number for charge, place in zip(charges, conditions, strict=True) for number in charge.args(place)]
    waits_ms, counts, replies = _TAKE.run(redis, [*counters, *read], args)
    ends = list(itertools.accumulate(len(charge.rate.windows) for charge in charges))
    waits = tuple(-(-max(waits_ms[start:end]) // 1000) for start, end in zip([0, *ends], ends, strict=False))
    return Taken(not any(waits), max(waits), tuple(counts[end - 1] for end in ends), waits, tuple(replies))


def refund(redis: "Redis", *charges: Charge) -> None:
    """Give one try back: a success is not a try that anyone has to pay for."""
    REFUND_SCRIPT.run(redis, _keys(charges), [])


def queue_refund(pipeline: "Pipeline", *charges: Charge) -> None:
    """The same inside a pipeline."""
    REFUND_SCRIPT.queue(pipeline, _keys(charges), [])


@contextlib.contextmanager
def given_back_on_outage(redis: "Redis", *charges: Charge) -> Iterator[None]:
    """Give one try back when the block ends in 503: nobody learned anything by it, and "try again" must be possible.

    What is known to be wrong must leave the block as a refusal, whatever fails after that. When Redis itself fails, or
    the process is killed, the try stays counted.
    """
    try:
        yield
    except (Unavailable, DBAPIError, PoolTimeoutError):
        with contextlib.suppress(RedisError):
            refund(redis, *charges)
        raise


def waits(redis: "Redis", *charges: Charge) -> tuple[int, ...]:
    """For how many seconds each charge would refuse, 0 where it has room; nothing is counted. Raises RedisError."""
    pipeline = redis.pipeline(transaction=False)
    for key in _keys(charges):
        pipeline.get(key)
        pipeline.pttl(key)
    replies = iter(pipeline.execute())
    return tuple(
        max(_wait_seconds(window, tries=next(replies), wait_ms=next(replies)) for window in charge.rate.windows)
        for charge in charges
    )


def _wait_seconds(window: Window, *, tries: str | None, wait_ms: int) -> int:
    return -(-max(wait_ms, 1) // 1000) if int(tries or 0) >= window.max else 0


def clear(redis: "Redis", *charges: Charge) -> None:
    """Forget all tries (support lifted a lock)."""
    redis.delete(*_keys(charges))


def _keys(charges: tuple[Charge, ...]) -> list[str]:
    return list(itertools.chain.from_iterable(charge.keys() for charge in charges))
