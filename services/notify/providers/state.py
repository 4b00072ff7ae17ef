"""What all workers know of the SMS providers: the route of a message, how a provider is, and its rate. All in Redis."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from redis import Redis

from services.notify.domain.health import PROBE_SECONDS, SAMPLES, Sample
from services.notify.domain.routing import Route, Turn
from shared.clock import unix_milliseconds
from shared.lua import Call, LuaScript

# Longer than the longest pause between two tries, and than the longest quarantine.
ROUTES_KEPT_FOR, SAMPLES_KEPT_FOR = timedelta(minutes=15), timedelta(hours=1)
_ROUTE_SECONDS = int(ROUTES_KEPT_FOR.total_seconds())

# Scripts also where a command would do: they go over the connection that a thread keeps, at half the price.
# KEYS: the route, the samples of each provider in their order. ARGV: the last sample that counts, the route of a
# message that is handed to the first provider ('' for none is), and for how long it is kept.
_READ = LuaScript("""
local found = {redis.call('GET', KEYS[1]) or '', 0}
for n = 2, #KEYS do found[n + 1] = table.concat(redis.call('LRANGE', KEYS[n], 0, ARGV[1]), ',') end
if found[1] == '' and ARGV[2] ~= '' and not string.find(found[3], ' 0', 1, true) then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
  found[2] = 1
end
return found
""")

_PUT_ROUTE = LuaScript("""
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
""")

_NOTE = LuaScript("""
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
""")

_PROBE = LuaScript("""
local now = tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[1]) or '0') > now then return 0 end
redis.call('SET', KEYS[1], now + tonumber(ARGV[2]), 'PX', ARGV[2])
return 1
""")

# A token bucket that holds the tokens of one second, kept as the moment when it will be full (GCRA). A turn may lie
# ahead: its token is taken now, so those who wait are served in the order in which they came, each of them once.
_TURN = LuaScript("""
local now, interval, burst, latest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + interval
local turn = math.max(now, math.ceil(full_at - burst))
if turn > latest then return {0, turn} end
redis.call('SET', KEYS[1], string.format('%.3f', full_at), 'PX', math.ceil(full_at - now) + 1000)
return {1, turn}
""")


@dataclass(frozen=True, slots=True)
class NoTurn:
    """No token before the latest moment; the next one would be had at ``at``."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """The message's route, and the samples of each provider, newest first.

    ``handed_to`` is the provider that the route was put to in the same step, after it was read.
    """

    route: Route
    samples: Mapping[str, list[Sample]]
    handed_to: str | None = None


def reading(message_id: str, providers: Sequence[str], *, hands_over: bool = False) -> Call[Known]:
    """What is known of the message and of the providers.

    ``hands_over``: a message that has no route yet is put to the first provider, if none of its samples is bad. That
    saves put_route's round trip where nothing is amiss; whoever sends it elsewhere after all puts its route anew.
    """

    def read(reply: list[Any]) -> Known:
        route, handed_over, *samples = reply
        return Known(
            _parse_route(route),
            {name: _parse_samples(text) for name, text in zip(providers, samples, strict=True)},
            providers[0] if handed_over else None,
        )

    first = _first_route(providers[0]) if hands_over else ""
    return Call(
        _READ,
        [_route_key(message_id), *(_samples_key(name) for name in providers)],
        [SAMPLES - 1, first, _ROUTE_SECONDS],
        read,
    )


def put_route(redis: Redis, message_id: str, route: Route) -> None:
    """Keep the route until the message is long over."""
    _PUT_ROUTE.run(redis, [_route_key(message_id)], [_route_text(route), _ROUTE_SECONDS])


def noting(provider: str, sample: Sample) -> Call[None]:
    """Remember what a send came to."""
    text = f"{unix_milliseconds(sample.at)} {int(sample.good)}"
    return Call(
        _NOTE, [_samples_key(provider)], [text, SAMPLES - 1, int(SAMPLES_KEPT_FOR.total_seconds())], lambda _: None
    )


def claim_probe(redis: Redis, provider: str, now: datetime) -> bool:
    """Whether this message is the one that finds out how the provider is."""
    reply = _PROBE.run(redis, [f"notify:probe:{provider}"], [unix_milliseconds(now), int(PROBE_SECONDS * 1000)])
    return int(reply) == 1


def take_turn(redis: Redis, provider: str, per_second: float, now: datetime, latest: datetime) -> datetime | NoTurn:
    """Take one token of the provider's bucket, shared by all workers, in one step whose reply is the answer.

    The moment when it may be used, ``now`` at the earliest and ``latest`` at the latest.
    """
    interval = 1000 / per_second
    granted, turn = _TURN.run(
        redis,
        [f"notify:rate:{provider}"],
        [
            unix_milliseconds(now),
            f"{interval:.3f}",
            f"{max(1.0, math.floor(per_second)) * interval:.3f}",
            unix_milliseconds(latest),
        ],
    )
    moment = _moment(int(turn))
    return moment if int(granted) == 1 else NoTurn(moment)


def _route_text(route: Route) -> str:
    turn = route.turn and [route.turn.provider, unix_milliseconds(route.turn.at)]
    return json.dumps({"at": route.at, "failed": route.failed, "rounds": route.rounds, "turn": turn})


@cache
def _first_route(provider: str) -> str:
    """A new message's, at its first provider."""
    return _route_text(Route().handed_to(provider))


def _parse_route(text: str) -> Route:
    if not text:
        return Route()
    members: dict[str, Any] = json.loads(text)
    turn = members["turn"]
    return Route(
        at=members["at"],
        failed=tuple(members["failed"]),
        rounds=members["rounds"],
        turn=turn and Turn(turn[0], _moment(turn[1])),
    )


def _parse_samples(text: str) -> list[Sample]:
    """None where all are good, which is the rule and comes to the same: only bad ones count against a provider."""
    if " 0" not in text:
        return []
    pairs = (sample.split(" ") for sample in text.split(","))
    return [Sample(_moment(int(milliseconds)), good == "1") for milliseconds, good in pairs]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _route_key(message_id: str) -> str:
    return f"notify:route:{message_id}"


def _samples_key(provider: str) -> str:
    return f"notify:health:{provider}"
