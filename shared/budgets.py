"""How often something may be tried: counted before it is tried, all windows in one atomic step."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """A row of a service's limits table. ``by`` says what the subject is; a store that is down refuses.

    ``durable``: the count itself lasts elsewhere, and Redis only makes it exact when many try at once. Where Redis has
    lost it nothing is counted before it was recalled. Rows of one name share their counts, whatever their maximum.
    """

    name: str
    by: str
    windows: tuple[Window, ...]
    durable: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """The reply to a count: allowed or not, and when to come back.

    ``counts``: the tries in each charge's longest window, this one included. ``read``: what stood at the keys that were
    to be read in the same step: text, a list of fields and values, or None.
    """

    allowed: bool
    retry_after_seconds: int
    counts: tuple[int, ...]
    read: tuple[Any, ...] = ()

    def require(self) -> "Taken":
        """Raise 429 too_many_requests unless the budget had room."""
        if not self.allowed:
            raise Refusal("too_many_requests", retry_after_seconds=self.retry_after_seconds)
        return self


# A refused try is not counted: it was not evaluated, and counting it would let a stranger extend the owner's wait.
# The keys after the counters (ARGV is a pair a counter) are read in the same step. A counter without a life of its own
# is a durable one: it must be there already.
_TAKE = LuaScript("""
local counters, wait, counts, read = #ARGV / 2, 0, {}, {}
for i = 1, counters do
  local count = redis.call('GET', KEYS[i])
  if not count and ARGV[2 * i] == '0' then return {-1, {}, {}} end
  counts[i] = tonumber(count or '0')
  if counts[i] >= tonumber(ARGV[2 * i - 1]) then
    wait = math.max(wait, redis.call('PTTL', KEYS[i]), 1)
  end
end
if wait == 0 then
  for i = 1, counters do
    counts[i] = redis.call('INCR', KEYS[i])
    if counts[i] == 1 and ARGV[2 * i] ~= '0' then redis.call('PEXPIRE', KEYS[i], ARGV[2 * i]) end
  end
end
for i = counters + 1, #KEYS do
  local reader = ({string = 'GET', hash = 'HGETALL'})[redis.call('TYPE', KEYS[i]).ok]
  read[i - counters] = reader and redis.call(reader, KEYS[i]) or false
end
return {wait, counts, read}
""")

_LOST = -1

# Gives tries back; a window that ended meanwhile stays ended.
REFUND_SCRIPT = LuaScript("""
for i, key in ipairs(KEYS) do
  local back = math.min(tonumber(redis.call('GET', key) or '0'), tonumber(ARGV[i]))
  if back > 0 then redis.call('DECRBY', key, back) end
end
return 1
""")


_KEEP_UP = LuaScript("""
for i, key in ipairs(KEYS) do
  local count = redis.call('GET', key)
  if count and tonumber(count) < tonumber(ARGV[i]) then redis.call('SET', key, ARGV[i], 'KEEPTTL') end
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
        """max and milliseconds (of a durable one 0), a pair a window."""
        lives = [0 if self.rate.durable else window.seconds * 1000 for window in self.rate.windows]
        return [number for window, life in zip(self.rate.windows, lives, strict=True) for number in (window.max, life)]


def take(redis: "Redis", *charges: Charge, read: Sequence[str] = (), recall: Callable[[], int] | None = None) -> Taken:
    """Count one try against every charge, or against none when one of them is spent; then read these keys.

    One round trip, all of it one step. Where the count of a durable charge is lost, ``recall`` says where it stood,
    and whoever comes first puts it back: however many try at once, all of them count on from there.
    Raises RedisError, what ``recall`` raises, and Unavailable when a count is lost again meanwhile.
    """
    keys, args = [*_keys(charges), *read], _args(charges)
    wait_ms, counts, replies = _TAKE.run(redis, keys, args)
    if wait_ms == _LOST and recall is not None:
        _put_back(redis, charges, recall())
        wait_ms, counts, replies = _TAKE.run(redis, keys, args)
    if wait_ms == _LOST:
        raise Unavailable("redis")
    last_windows = itertools.accumulate(len(charge.rate.windows) for charge in charges)
    tries = tuple(counts[number - 1] for number in last_windows)
    return Taken(wait_ms == 0, -(-wait_ms // 1000), tries, tuple(replies))


def _put_back(redis: "Redis", charges: tuple[Charge, ...], count: int) -> None:
    for charge in charges:
        if charge.rate.durable:
            for key, window in zip(charge.keys(), charge.rate.windows, strict=True):
                redis.set(key, count, nx=True, ex=window.seconds)


def count(redis: "Redis", charge: Charge) -> int:
    """The tries in the charge's longest window; 0 where nothing stands. Raises RedisError."""
    return int(redis.get(charge.keys()[-1]) or 0)


def keep_up(redis: "Redis", counts: Mapping[Charge, int]) -> None:
    """A durable count that stands in Redis stands at so many tries at least. Raises RedisError."""
    if counts:
        _KEEP_UP.run(redis, [charge.keys()[-1] for charge in counts], list(counts.values()))


def refund(redis: "Redis", *charges: Charge) -> None:
    """Give one try back: a success is not a try that anyone has to pay for."""
    keys = _keys(charges)
    REFUND_SCRIPT.run(redis, keys, [1] * len(keys))


def queue_refund(pipeline: "Pipeline", *charges: Charge, tries: int = 1) -> None:
    """The same inside a pipeline, for so many tries; what was counted since stays counted."""
    keys = _keys(charges)
    REFUND_SCRIPT.queue(pipeline, keys, [tries] * len(keys))


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


def clear(redis: "Redis", *charges: Charge) -> None:
    """Forget all tries (support lifted a lock)."""
    redis.delete(*_keys(charges))


def _keys(charges: tuple[Charge, ...]) -> list[str]:
    return list(itertools.chain.from_iterable(charge.keys() for charge in charges))


def _args(charges: tuple[Charge, ...]) -> list[int]:
    return [number for charge in charges for number in charge.args()]
