"""What Redis keeps of a lane besides its sends: how many codes came back, and whether its SMS are paused.

A counter of codes that came back lives exactly as long as the window of sends that it is compared with, and so does the
tally of sends that the breaker weighs. Prefixes stand in the keys as they are: ten thousand numbers or more share one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from redis import Redis

from services.otp.domain.lane import Lane
from services.otp.domain.purpose import Purpose
from services.otp.limits import SMS_LANE, SMS_PAUSE_LASTS, SMS_PROBE, SMS_UNANSWERED_OF_A_SENDER
from shared.budgets import Charge, Rate, Weighing
from shared.clock import unix_milliseconds
from shared.lua import LuaScript

_PAUSED = "otp:sms-paused"  # lanes by the milliseconds at which their pause ends, for those who look

# One step, so that of many who saw the same counts one pauses, and reports it.
_PAUSE = LuaScript("""
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[4] + ARGV[2], ARGV[3])
return 1
""")

# By its id: whoever saw an earlier pause must not end a later one. The counts go with it, for by them alone it would
# begin again at once.
_RESUME = LuaScript("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[2])
for i = 3, #KEYS do redis.call('DEL', KEYS[i]) end
redis.call('DEL', KEYS[1])
return 1
""")


def paused_key(lane: Lane) -> str:
    """Holds the id of the pause while there is one."""
    return f"otp:sms-paused:{lane.subject}"


def verified_key(rate: Rate, lane: Lane) -> str:
    """How many codes came back in this row's window."""
    return f"otp:sms-verified:{rate.name}:{lane.subject}"


def tally_key(rate: Rate, lane: Lane) -> str:
    """The weighed sends of this row's window: their sum, and how many of each sender are unanswered."""
    return f"otp:weighed-sends:{rate.name}:{lane.subject}"


def senders(account_id: str, phone: str) -> tuple[str, str]:
    """Who sends: the account, and the phone (its keyed digest)."""
    return f"account:{account_id}", f"phone:{phone}"


def weighing(lane: Lane, account_id: str, phone: str) -> Weighing:
    """How a send is weighed in each row."""
    tallies = {Charge(row.rate, lane.subject): tally_key(row.rate, lane) for row in SMS_LANE}
    return Weighing(tallies, senders(account_id, phone), SMS_UNANSWERED_OF_A_SENDER)


def tallies_with(lane: Lane, weighed: Sequence[bool]) -> list[str]:
    """The tallies that hold a send; ``weighed`` has an item for each row of SMS_LANE, or none."""
    return [tally_key(row.rate, lane) for row, is_added in zip(SMS_LANE, weighed, strict=False) if is_added]


def credited(lane: Lane, *, probe: bool) -> Sequence[str]:
    """The counters that a code which came back is compared in: sends and verifications, a pair a row."""
    rates = [row.rate for row in SMS_LANE] + ([SMS_PROBE] if probe else [])
    return [key for rate in rates for key in (*Charge(rate, lane.subject).keys(), verified_key(rate, lane))]


@dataclass(frozen=True, slots=True)
class LaneState:
    """``verified``: codes that came back in the window of each row of SMS_LANE; of probes, in their round."""

    pause_id: str | None
    probes_verified: int
    verified: tuple[int, ...]


def state_keys(lane: Lane) -> list[str]:
    """What a send reads in the step that counts it."""
    rates = (SMS_PROBE, *(row.rate for row in SMS_LANE))
    return [paused_key(lane), *(verified_key(rate, lane) for rate in rates)]


def read_state(replies: Sequence[str | None]) -> LaneState:
    """What stood there."""
    pause_id, *verified = replies
    of_probes, *of_rows = (int(count or 0) for count in verified)
    return LaneState(pause_id, of_probes, tuple(of_rows))


def pause(redis: Redis, lane: Lane, pause_id: str, now: datetime) -> bool:
    """Stop SMS of this lane but for its probes. False when it was stopped already. Raises RedisError."""
    lasts_ms = int(SMS_PAUSE_LASTS.total_seconds() * 1000)
    keys = [paused_key(lane), _PAUSED]
    return int(_PAUSE.run(redis, keys, [pause_id, lasts_ms, lane.subject, unix_milliseconds(now)])) == 1


def resume(redis: Redis, lane: Lane, pause_id: str) -> bool:
    """End this pause and begin to count anew. False when it has ended already. Raises RedisError."""
    tallies = tallies_with(lane, [True] * len(SMS_LANE))
    keys = [paused_key(lane), _PAUSED, *credited(lane, probe=True), *tallies]
    return int(_RESUME.run(redis, keys, [pause_id, lane.subject])) == 1


def paused(redis: Redis, now: datetime) -> list[Lane]:
    """The lanes that are paused. Raises RedisError."""
    subjects = cast("list[str]", redis.zrangebyscore(_PAUSED, unix_milliseconds(now), "+inf"))
    names = (subject.split(":") for subject in subjects)
    return [Lane(Purpose(purpose), prefix) for purpose, prefix in names]
