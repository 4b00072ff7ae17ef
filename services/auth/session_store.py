"""Sessions in Redis: only digests of tokens are keys, every claim and every end is one script.

An account's *epoch* counts the changes that end logins. A session is only made while the epoch that its login began
under still stands.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from services.auth import challenge_store, session_json, standing_answer
from services.auth.challenge_store import LoginChallenge
from services.auth.domain.session import Factor, PassOn, Session, StepUp
from services.auth.limits import ENDED_SESSIONS_KNOWN, LONGEST_SESSION, REPEATABLE_FOR, SESSIONS_AT_MOST
from shared import outbox
from shared.budgets import Charge
from shared.clock import parse_rfc3339, rfc3339
from shared.ids import new_token, token_digest
from shared.lua import LuaScript

# A login by SMS needs a challenge that still lists SMS: its phone may have been removed after the code was sent.
# The reply: 1 and the ids of the sessions that end because there are too many, or 0. Sessions that are over leave the
# index here, so that it never holds more than an account may have open. The last keys are counters, and each of them
# gets a try back.
_OPEN = LuaScript("""
local stood = redis.call('MGET', unpack(KEYS))
if tonumber(stood[1] or '0') ~= tonumber(ARGV[1]) then return {0} end
if ARGV[7] ~= '' then
  local challenge = stood[4]
  if not challenge then return {0} end
  if ARGV[6] ~= '' then
    local listed = false
    for _, method in ipairs(cjson.decode(challenge)['methods']) do listed = listed or method == ARGV[6] end
    if not listed then return {0} end
  end
  redis.call('DEL', KEYS[4])
  redis.call('HDEL', KEYS[5], ARGV[7])
end
local reply, live = {1}, {}
local index = redis.call('HGETALL', KEYS[3])
for i = 1, #index, 2 do
  local key = ARGV[8] .. index[i + 1]
  if redis.call('EXISTS', key) == 1 then live[#live + 1] = {id = index[i], key = key}
  else redis.call('HDEL', KEYS[3], index[i]) end
end
local too_many = #live + 1 - tonumber(ARGV[9])
if too_many > 0 then
  for _, one in ipairs(live) do one.since = cjson.decode(redis.call('GET', one.key)).authenticated_at end
  table.sort(live, function(one, other)
    if one.since ~= other.since then return one.since < other.since end
    return one.id < other.id
  end)
  for i = 1, too_many do
    redis.call('DEL', live[i].key)
    redis.call('HDEL', KEYS[3], live[i].id)
    reply[#reply + 1] = live[i].id
  end
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[10])
for i = #KEYS - tonumber(ARGV[11]) + 1, #KEYS do
  if tonumber(stood[i] or '0') > 0 then redis.call('DECR', KEYS[i]) end
end
return reply
""")

# A use moves the end of a session, but not past its last possible one, and never back.
_KEEP = LuaScript("""
local raw = redis.call('GET', KEYS[1])
if not raw then return 0 end
local session = cjson.decode(raw)
if session.expires_at >= ARGV[1] or session.ends_at < ARGV[1] then return 1 end
session.expires_at = ARGV[1]
redis.call('SET', KEYS[1], cjson.encode(session), 'PX', ARGV[2])
return 1
""")

# Only the login that opened the session has claimed the challenge, so no other login's challenge comes back.
_TAKE_BACK = LuaScript("""
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
if KEYS[3] then
  redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
  redis.call('HSET', KEYS[4], ARGV[4], 1)
  redis.call('PEXPIRE', KEYS[4], ARGV[3])
end
return 1
""")

# What a change does in Redis. The reply: 1, what was known of its cause, and the ids of the sessions that ended; or 0
# when the session that orders the change has ended before.
# Of a cause Redis knows the moment of the first order, and whether the change is complete. What began after that moment
# did not stand before the change, so no order with this cause ends it.
_END = LuaScript("""
local order = cjson.decode(ARGV[1])
local function has(list, value)
  for _, one in ipairs(list) do if one == value then return true end end
  return false
end
local function text(value) return type(value) == 'string' and value or '' end
local function rests_on(session, factor)
  local shown = session.signed_in_with
  if type(shown) ~= 'table' or #shown == 0 then shown = session.factors end
  local unknown = has(shown, 'trusted_device') and text(session.trust_factor) == ''
  return has(shown, factor) or session.trust_factor == factor or unknown
end
if order.acting ~= '' and redis.call('EXISTS', order.acting) == 0 then return {0} end
local known = order.cause ~= '' and redis.call('GET', order.cause) or ''
local since, complete = string.match(known, '^(%S*) ?(.*)$')
if complete ~= '' and order.before == '' then return {1, since, complete} end
local standing = redis.call('GET', KEYS[4])
if standing and (order.before == '' or string.match(standing, '^%S+') < order.before) then
  redis.call('DEL', KEYS[4])
end
-- A login that waits is over from here on: its code is not compared, and its link in a mail confirms nothing.
if order.logins and known == '' then
  redis.call('INCR', KEYS[1])
  for _, id in ipairs(redis.call('HKEYS', KEYS[3])) do redis.call('DEL', order.challenges .. id) end
  redis.call('DEL', KEYS[3])
end
if order.logins and order.cause ~= '' and (known == '' or order.completes) then
  local moment = known == '' and order.now or since
  redis.call('SET', order.cause, moment .. (order.completes and ' complete' or ''), 'EX', order.cause_seconds)
end
if order.before == '' then order.before = since end
local reply = {1, since, complete}
for _, id in ipairs(redis.call('HKEYS', KEYS[2])) do
  local key = order.sessions .. redis.call('HGET', KEYS[2], id)
  -- Where all end, it takes no look inside: that would be nine tenths of the time.
  local unseen = order.all and order.before == '' and id ~= order.spare
  local raw = redis.call(unseen and 'EXISTS' or 'GET', key)
  local session = raw and raw ~= 0 and (unseen or cjson.decode(raw))
  local later = false
  if session and order.before ~= '' then
    later = session.authenticated_at > order.before or (id == order.spare and text(session.renewed_at) > order.before)
  end
  local ends = unseen or not session
  if session and not later and not unseen then
    ends = (order.all and id ~= order.spare) or has(order.ids, id)
    ends = ends or (order.resting_on ~= '' and rests_on(session, order.resting_on))
    local device = text(session.device_id)
    local known = device ~= '' or has(session.factors, 'trusted_device')  -- of an earlier release: on any device
    ends = ends or (order.any_device and known) or has(order.devices, device)
    ends = ends or (device == '' and known and #order.devices > 0)
  end
  if ends then
    if key == order.acting and order.lingers_ms > 0 then
      if redis.call('PTTL', key) > order.lingers_ms then
        session.expires_at, session.ends_at = order.lingers_until, order.lingers_until
        redis.call('SET', key, cjson.encode(session), 'PX', order.lingers_ms)
      end
    else
      redis.call('DEL', key)
      redis.call('HDEL', KEYS[2], id)
    end
    if session then reply[#reply + 1] = id end
  elseif not later and #order.lost + #order.windows > 0 then
    for _, shown in ipairs({'factors', 'signed_in_with'}) do
      local left = {}
      for _, factor in ipairs(session[shown] or {}) do
        if not has(order.lost, factor) then left[#left + 1] = factor end
      end
      session[shown] = left
    end
    if has(order.lost, session.trust_factor) then session.trust_factor = cjson.null end
    for _, window in ipairs(order.windows) do
      if order.before == '' or text(session[window]) <= order.before then session[window] = cjson.null end
    end
    redis.call('SET', key, cjson.encode(session), 'KEEPTTL')
  end
end
if #order.devices > 0 or order.any_device or order.method ~= '' then
  for _, id in ipairs(redis.call('HKEYS', KEYS[3])) do
    local key = order.challenges .. id
    local raw = redis.call('GET', key)
    local challenge = raw and cjson.decode(raw)
    local device = challenge and text(challenge.device_id)
    if not challenge or has(order.devices, device) or (order.any_device and device ~= '') then
      redis.call('DEL', key)
      redis.call('HDEL', KEYS[3], id)
    elseif order.method ~= '' then
      local left = {}
      for _, method in ipairs(challenge.methods) do
        if method ~= order.method then left[#left + 1] = method end
      end
      challenge.methods = left
      redis.call('SET', key, cjson.encode(challenge), 'KEEPTTL')
    end
  end
end
if order.renewed ~= '' and redis.call('EXISTS', order.acting) == 1 then
  local left = redis.call('PTTL', order.acting)
  redis.call('DEL', order.acting)
  redis.call('SET', order.sessions .. order.renewed, order.session, 'PX', left)
  redis.call('HSET', KEYS[2], order.spare, order.renewed)
  if order.passed_on ~= '' then redis.call('SET', order.passed_on, order.sealed, 'PX', order.passed_on_ms) end
end
return reply
""")

# When the session ends stays as Redis has it: another request may have moved that meanwhile.
_REPLACE = LuaScript("""
local raw = redis.call('GET', KEYS[1])
if not raw then return 0 end
local stored, session = cjson.decode(raw), cjson.decode(ARGV[1])
session.expires_at, session.ends_at = stored.expires_at, stored.ends_at
redis.call('SET', KEYS[1], cjson.encode(session), 'KEEPTTL')
return 1
""")
_SESSION = "auth:session:"
_WINDOWS = {StepUp.FULL: "stepped_up_at", StepUp.SMALL: "small_step_up_at"}  # members of a session


def _session_key(token: str) -> str:
    return _SESSION + token_digest(token)


def _index_key(account_id: str) -> str:
    return f"auth:sessions:{account_id}"


def epoch_key(account_id: str) -> str:
    """The key of an account's epoch."""
    return f"auth:epoch:{account_id}"


def epoch(redis: "Redis", account_id: str) -> int:
    """How many changes have ended this account's logins so far."""
    return int(redis.get(epoch_key(account_id)) or 0)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session is open. ``ended`` are the account's oldest sessions, which ended because there were too many."""

    ended: tuple[str, ...] = ()


def open_session(
    redis: "Redis",
    session: Session,
    token: str,
    *,
    epoch: int,
    challenge_id: str | None = None,
    method: str | None = None,
    gives_back: Sequence[Charge] = (),
) -> Opened | None:
    """Claim the challenge (if the login had one) and make the session, in one step; None when either is void.

    N parallel right answers to one challenge make one session. A session made in the same step as the claim can't be
    lost between the two. ``method``: what the challenge must still list. An account has SESSIONS_AT_MOST sessions.
    ``gives_back``: what the login was charged to, and does not pay for when it is completed.
    """
    keys = [epoch_key(session.account_id), _session_key(token), _index_key(session.account_id)]
    if challenge_id is not None:
        keys += [challenge_store.key(challenge_id), challenge_store.index_key(session.account_id)]
    counters = list(itertools.chain.from_iterable(charge.keys() for charge in gives_back))
    ends_at = session.ends_at or session.expires_at
    args: list[str | int] = [
        *(epoch, session_json.dump(session), _milliseconds(session.expires_at - session.authenticated_at)),
        *(session.id, token_digest(token), method or "", challenge_id or "", _SESSION, SESSIONS_AT_MOST),
        *(_milliseconds(ends_at - session.authenticated_at), len(counters)),
    ]
    opened, *ended = _OPEN.run(redis, [*keys, *counters], args)
    return Opened(tuple(str(session_id) for session_id in ended)) if int(opened) == 1 else None


def take_back(redis: "Redis", session: Session, token: str, *, challenge: LoginChallenge | None, now: datetime) -> None:
    """Undo open_session, if it came to pass: the session, whose token nobody has, ends; its challenge waits again."""
    keys, args = [_session_key(token), _index_key(session.account_id)], [session.id]
    if challenge is not None:
        keys += [challenge_store.key(challenge.id), challenge_store.index_key(session.account_id)]
        args += [challenge_store.dump(challenge), str(challenge_store.life_ms(challenge, now)), challenge.id]
    _TAKE_BACK.run(redis, keys, args)


def find(redis: "Redis", token: str) -> Session | None:
    """The live session of a token."""
    raw = challenge_store.text(redis.get(_session_key(token)))
    return None if raw is None else session_json.load(raw)


def keep(redis: "Redis", token: str, expires_at: datetime, now: datetime) -> bool:
    """Move the end of a session that is used, in one step; False when it has ended."""
    args: list[str | int] = [rfc3339(expires_at), _milliseconds(expires_at - now)]
    return int(_KEEP.run(redis, [_session_key(token)], args)) == 1


def _milliseconds(time: timedelta) -> int:
    return time // timedelta(milliseconds=1)


def is_live(redis: "Redis", account_id: str, session_id: str) -> bool:
    """Whether the account has a live session of this id."""
    digest = redis.hget(_index_key(account_id), session_id)
    return digest is not None and redis.exists(f"{_SESSION}{digest!s}") == 1


def note_ended(redis: "Redis", account_id: str, session_id: str) -> None:
    """Remember the id of a session that its owner ends, so that a repeat of the call is told from a foreign id."""
    key = f"auth:ended-sessions:{account_id}"
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.lpush(key, session_id)
        pipeline.ltrim(key, 0, ENDED_SESSIONS_KNOWN - 1)
        pipeline.expire(key, LONGEST_SESSION)
        pipeline.execute()


def was_ended(redis: "Redis", account_id: str, session_id: str) -> bool:
    """Whether ``note_ended`` remembers this session of the account."""
    return redis.lpos(f"auth:ended-sessions:{account_id}", session_id) is not None


def step_up(redis: "Redis", session: Session, token: str, at: datetime, factors: tuple[Factor, ...]) -> Session | None:
    """Open a step-up window and note what was proven; the session as it stands, or None when it has ended meanwhile."""
    proven = session.proven(factors, at)
    return proven if int(_REPLACE.run(redis, [_session_key(token)], [session_json.dump(proven)])) == 1 else None


def position(session: Session) -> str:
    """The session's place in a list of its account's sessions: a later one has a greater string."""
    return f"{rfc3339(session.authenticated_at)} {session.id}"


def sessions_of(redis: "Redis", account_id: str) -> list[Session]:
    """All live sessions of an account, newest first; SESSIONS_AT_MOST at most."""
    digests = [str(digest) for digest in redis.hgetall(_index_key(account_id)).values()]
    raws = redis.mget([_SESSION + digest for digest in digests]) if digests else []
    found = [session_json.load(str(raw)) for raw in raws if raw]
    return sorted(found, key=position, reverse=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a change ends in Redis. The table of changes (domain.consequences) says which members a change sets.

    ``acting`` is the token of the session that orders it: nothing happens when that has ended. With ``lingers_until``,
    a minute from now, it lives until then where it would end, so that it may repeat a call that fails. ``renewed`` is
    that session as it lives on under a new token, and ``pass_on`` keeps that token for a repeat of the call. ``before``
    spares what began or was renewed after a moment. Every order voids the account's answer that may be repeated.

    Several orders may have the same ``cause``. The first one ends logins, which have no time to compare, and the later
    ones spare what began after its ``at``. Nothing happens after an order that ``completes`` the change, unless it has
    a ``before`` of its own.
    """

    at: datetime
    acting: str | None = None
    lingers_until: datetime | None = None
    logins: bool = False
    cause: str | None = None
    completes: bool = False
    all_sessions: bool = False
    spare: str | None = None
    session_ids: Sequence[str] = ()
    resting_on: Factor | None = None
    device_ids: Sequence[str] = ()
    any_device: bool = False
    lost_factors: Sequence[Factor] = ()
    windows: Sequence[StepUp] = ()
    method: str | None = None
    before: datetime | None = None
    renewed: Session | None = None
    pass_on: PassOn | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """``acting_lives``: the session that ordered it was live. ``token`` is its new one, where it got one.

    ``since`` is the moment of an earlier order with the same cause; ``was_complete``: that change needs nothing more.
    """

    acting_lives: bool
    session_ids: tuple[str, ...] = ()
    token: str | None = None
    since: datetime | None = None
    was_complete: bool = False


def end(redis: "Redis", account_id: str, order: Order) -> Ended:
    """Carry out an order in one step."""
    token = new_token() if order.renewed is not None else None
    document: dict[str, Any] = {
        "acting": _session_key(order.acting) if order.acting else "",
        "lingers_ms": _milliseconds(REPEATABLE_FOR) if order.lingers_until else 0,
        "lingers_until": rfc3339(order.lingers_until) if order.lingers_until else "",
        "logins": order.logins,
        "cause": f"auth:cause:{order.cause}" if order.cause else "",
        "now": rfc3339(order.at),
        "completes": order.completes,
        "cause_seconds": int(outbox.KEEP_FOR.total_seconds()),
        "all": order.all_sessions,
        "spare": order.spare or "",
        "ids": list(order.session_ids),
        "resting_on": order.resting_on or "",
        "devices": list(order.device_ids),
        "any_device": order.any_device,
        "lost": list(order.lost_factors),
        "windows": [_WINDOWS[window] for window in order.windows],
        "method": order.method or "",
        "before": rfc3339(order.before) if order.before else "",
        "renewed": token_digest(token) if token else "",
        "passed_on": order.pass_on.key if order.pass_on else "",
        "sealed": order.pass_on.seal(token) if order.pass_on and token else "",
        "passed_on_ms": _milliseconds(REPEATABLE_FOR),
        "session": session_json.dump(order.renewed) if order.renewed else "",
        "sessions": _SESSION,
        "challenges": challenge_store.PREFIX,
    }
    keys = [epoch_key(account_id), _index_key(account_id), challenge_store.index_key(account_id)]
    keys.append(standing_answer.key(account_id))
    lives, *rest = _END.run(redis, keys, [json.dumps(document)])
    if int(lives) == 0:
        return Ended(acting_lives=False)
    since, complete, *ended = map(str, rest)
    moment = parse_rfc3339(since) if since else None
    return Ended(acting_lives=True, session_ids=tuple(ended), token=token, since=moment, was_complete=complete != "")
