"""How often something may be tried: counted before it is tried, all windows in one atomic step."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.lua import LuaScript
from shared.problems import Refusal, Unavailable
from shared.rates import DAY, HOUR, MINUTE, Charge, Rate, Window

__all__ = ["DAY", "HOUR", "MINUTE", "Charge", "Rate", "Taken", "Weighed", "Weighing", "Window", "clear", "count"]
__all__ += ["count_on", "given_back_on_outage", "keep_up", "queue_refund", "queue_refunds", "refund", "take"]
__all__ += ["unweigh", "waits"]

# From so many tries on, a caller is told how many a row has left.
LAST_TRIES = 2


@dataclass(frozen=True, slots=True)
class Taken:
    """The reply to a count: allowed or not, and when to come back.

    ``counts``: the tries in each charge's longest window, this one included. ``waits``: seconds until each charge has
    room, 0 where it has. ``read``: what stood at the keys that were to be read in the same step: text, a list of fields
    and values, or None. ``weighed``: what each tally says. ``tries``: the tries in each window of each charge, this one
    included.
    """

    allowed: bool
    retry_after_seconds: int
    counts: tuple[int, ...]
    waits: tuple[int, ...]
    read: tuple[Any, ...] = ()
    weighed: "tuple[Weighed, ...]" = ()
    tries: Sequence[int] = ()

    def require(self) -> "Taken":
        """Raise 429 too_many_requests unless the budget had room."""
        if not self.allowed:
            raise Refusal("too_many_requests", retry_after_seconds=self.retry_after_seconds)
        return self

    def tell_last_tries(self, refusal: Refusal, rate: Rate) -> None:
        """Add ``tries_left`` to the refusal of a try, when the first charge, whose rate this is, has few left.

        For rows whose count may be told to this caller only. Of two rows that tell, the one with fewer tries holds.
        """
        left = min(window.max - tries for window, tries in zip(rate.windows, self.tries, strict=False))
        if left <= LAST_TRIES:
            refusal.extra["tries_left"] = min(left, refusal.extra.get("tries_left", left))


# A refused try is not counted: it was not evaluated, and counting it would let a stranger extend the owner's wait.
# ARGV is three a counter: its max, its milliseconds (0: it is a durable one, and must be there already), and the place
# of the key that must be there for it to count (0: none must). The keys after the counters are read in the same step.
# One MGET for all, because each call from a script costs as much as what it does. It answers nothing for a hash.
_COUNT = """
local spent, counted, waits, counts, read = false, {}, {}, {}, {}
local stood = #KEYS > 0 and redis.call('MGET', unpack(KEYS)) or {}
for i = 1, counters do
  local count, condition = stood[i], tonumber(ARGV[3 * i])
  if not count and ARGV[3 * i - 1] == '0' then return false end
  counted[i] = condition == 0 or stood[condition] ~= false or redis.call('EXISTS', KEYS[condition]) == 1
  counts[i], waits[i] = tonumber(count or '0'), 0
  if counted[i] and counts[i] >= tonumber(ARGV[3 * i - 2]) then
    spent, waits[i] = true, math.max(redis.call('PTTL', KEYS[i]), 1)
  end
end
for i = 1, counters do
  if counted[i] and not spent then
    counts[i] = redis.call('INCR', KEYS[i])
    if counts[i] == 1 and ARGV[3 * i - 1] ~= '0' then redis.call('PEXPIRE', KEYS[i], ARGV[3 * i - 1]) end
  end
end
"""
_READ = """
for i = counters + 1, last_read do
  local fields = stood[i] or redis.call('HGETALL', KEYS[i])
  read[i - counters] = #fields > 0 and fields
end
"""
_TAKE = LuaScript(f"local counters, last_read = #ARGV / 3, #KEYS{_COUNT}{_READ}return {{waits, counts, read}}")

# A script of its own, so that a verification pays nothing for it. The last keys are the tallies. After the triples,
# ARGV has: the most that a sender adds, the number of tallies, the place of each tally's counter, the senders, and the
# number of counters. A tally lives as long as its counter.
_TAKE_AND_WEIGH = LuaScript(
    """
local counters = tonumber(ARGV[#ARGV])
local each, tallies = tonumber(ARGV[3 * counters + 1]), tonumber(ARGV[3 * counters + 2])
local last_read, first_sender = #KEYS - tallies, 3 * counters + 3 + tallies
"""
    + _COUNT
    + """
local weighed = {}
for i = 1, tallies do
  local tally, counter = KEYS[last_read + i], KEYS[tonumber(ARGV[3 * counters + 2 + i])]
  local weighs = not spent
  for sender = first_sender, #ARGV - 1 do
    if tonumber(redis.call('HGET', tally, ARGV[sender]) or '0') >= each then weighs = false end
  end
  if weighs then
    for sender = first_sender, #ARGV - 1 do redis.call('HINCRBY', tally, ARGV[sender], 1) end
    redis.call('HINCRBY', tally, 'all', 1)
    redis.call('PEXPIRE', tally, redis.call('PTTL', counter))
  end
  weighed[i] = {weighs and 1 or 0, tonumber(redis.call('HGET', tally, 'all') or '0')}
end
"""
    + _READ
    + "return {waits, counts, read, weighed}"
)

# A try that was none after all: it leaves the tallies that it was weighed in. ARGV are its senders.
_UNWEIGH = LuaScript("""
for _, tally in ipairs(KEYS) do
  for _, field in ipairs({'all', unpack(ARGV)}) do
    if tonumber(redis.call('HGET', tally, field) or '0') > 0 then redis.call('HINCRBY', tally, field, -1) end
  end
end
return 1
""")

# Gives tries back; a window that ended meanwhile stays ended.
REFUND_SCRIPT = LuaScript("""
local stood = #KEYS > 0 and redis.call('MGET', unpack(KEYS)) or {}
for i, key in ipairs(KEYS) do
  local back = math.min(tonumber(stood[i] or '0'), tonumber(ARGV[i]))
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


_COUNT_ON = LuaScript("""
local counts = {}
for i = 1, #ARGV do
  counts[i] = redis.call('INCR', KEYS[i])
  if counts[i] == 1 then redis.call('PEXPIRE', KEYS[i], ARGV[i]) end
end
return {counts, redis.call('MGET', unpack(KEYS, #ARGV + 1))}
""")


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a tally says after a try: whether this try was added to it, and its sum."""

    is_added: bool
    sum: int


@dataclass(frozen=True, slots=True)
class Weighing:
    """Weighs tries by who makes them: a sender adds at most ``each`` to a tally until one of its tries is answered.

    ``tallies`` are Redis hashes by the charge whose longest window they share. ``senders`` are fields of each.
    A try is added only when none of its senders has added its most. It is taken all the same.
    """

    tallies: Mapping[Charge, str]
    senders: tuple[str, ...]
    each: int

    def args(self, charges: Sequence[Charge], counters: int) -> list[str | int]:
        """What the script needs beyond the charges' own triples."""
        ends = dict(zip(charges, itertools.accumulate(len(c.rate.windows) for c in charges), strict=True))
        places = [ends[charge] for charge in self.tallies]
        return [self.each, len(places), *places, *self.senders, counters]


def take(
    redis: "Redis",
    *charges: Charge,
    read: Sequence[str] = (),
    recall: Callable[[], Mapping[Charge, int]] | None = None,
    weighing: Weighing | None = None,
) -> Taken:
    """Count one try against every charge, or against none when one of them is spent; then read these keys.

    One round trip, all of it one step. Where the count of a durable charge is lost, ``recall`` says where all of them
    stood. The first caller puts them back, and all callers of that moment count on from there.
    Raises RedisError, what ``recall`` raises, and Unavailable when a count is lost again meanwhile.
    """
    counters = _keys(charges)
    conditions = [0 if c.only_while is None else len(counters) + read.index(c.only_while) + 1 for c in charges]
    args: list[str | int] = [
        number for charge, place in zip(charges, conditions, strict=True) for number in charge.args(place)
    ]
    keys, script = [*counters, *read], _TAKE
    if weighing is not None:
        script = _TAKE_AND_WEIGH
        keys += weighing.tallies.values()
        args += weighing.args(charges, len(counters))
    reply = script.run(redis, keys, args)
    if reply is None and recall is not None:
        _put_back(redis, charges, recall())
        reply = script.run(redis, keys, args)
    if reply is None:
        raise Unavailable("redis")
    waits_ms, counts, replies, *tallied = reply
    ends = list(itertools.accumulate(len(charge.rate.windows) for charge in charges))
    waits = tuple(-(-max(waits_ms[start:end]) // 1000) for start, end in zip([0, *ends], ends, strict=False))
    weighed = tuple(Weighed(bool(is_added), total) for is_added, total in (tallied[0] if tallied else ()))
    return Taken(
        not any(waits), max(waits), tuple(counts[end - 1] for end in ends), waits, tuple(replies), weighed, counts
    )


def count_on(redis: "Redis", *charges: Charge, read: Sequence[str]) -> tuple[list[int], list[str | None]]:
    """Count in rows of one window that never refuse; the counts, and the texts at the keys that are to be read.

    A script of its own, because it costs Redis and the caller half of what ``take`` costs. Raises RedisError.
    """
    lives = [charge.rate.windows[0].seconds * 1000 for charge in charges]
    counts, texts = _COUNT_ON.run(redis, [*_keys(charges), *read], lives)
    return counts, texts


def unweigh(redis: "Redis", tallies: Sequence[str], senders: Sequence[str]) -> None:
    """Take a try out of the tallies that it was added to. Raises RedisError."""
    if tallies:
        _UNWEIGH.run(redis, tallies, senders)


def _put_back(redis: "Redis", charges: tuple[Charge, ...], counts: Mapping[Charge, int]) -> None:
    pipeline = redis.pipeline(transaction=False)
    for charge in charges:
        if charge.rate.durable:
            for key, window in zip(charge.keys(), charge.rate.windows, strict=True):
                pipeline.set(key, counts[replace(charge, only_while=None)], nx=True, ex=window.seconds)
    pipeline.execute()


def count(redis: "Redis", charge: Charge) -> int:
    """The tries in the charge's longest window; 0 where nothing stands. Raises RedisError."""
    return int(redis.get(charge.keys()[-1]) or 0)


def keep_up(redis: "Redis", counts: Mapping[Charge, int]) -> None:
    """A durable count that stands in Redis stands at so many tries at least. Raises RedisError."""
    if counts:
        _KEEP_UP.run(redis, [charge.keys()[-1] for charge in counts], list(counts.values()))


def refund(redis: "Redis", *charges: Charge, tries: int = 1) -> None:
    """Give one try back, or ``tries`` of them, because nobody pays for a success."""
    keys = _keys(charges)
    REFUND_SCRIPT.run(redis, keys, [tries] * len(keys))


def queue_refund(pipeline: "Pipeline", *charges: Charge) -> None:
    """Give one try of each charge back inside a pipeline."""
    queue_refunds(pipeline, dict.fromkeys(charges, 1))


def queue_refunds(pipeline: "Pipeline", tries: Mapping[Charge, int]) -> None:
    """Give so many tries of each charge back inside a pipeline; what was counted since stays counted."""
    keys, args = _keys(tuple(tries)), [n for charge, n in tries.items() for _ in charge.rate.windows]
    REFUND_SCRIPT.queue(pipeline, keys, args)


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
