"""Sessions and login challenges in Redis: only digests of tokens are keys, every claim is one script.

An account's *epoch* counts the events that end sessions (2FA change, reset, password change). A login carries the
epoch that it began under, and a session is only made while that still stands: a login that was under way when
everything was ended can't slip through.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime

from redis import Redis

from services.auth.domain.session import Factor, Session
from shared import outbox
from shared.clock import parse_rfc3339, rfc3339
from shared.ids import token_digest
from shared.lua import LuaScript


@dataclass(frozen=True, slots=True)
class LoginChallenge:
    """A right password that waits for its second factor; bound to its account, single use."""

    id: str
    account_id: str
    epoch: int
    transport: str
    methods: tuple[str, ...]
    expires_at: datetime
    device_id: str | None
    ip: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class SentSms:
    """The last SMS of a challenge, as its page shows it."""

    message_id: str
    reference: str


_OPEN = LuaScript("""
if tonumber(redis.call('GET', KEYS[1]) or '0') ~= tonumber(ARGV[1]) then return 0 end
if KEYS[4] and redis.call('DEL', KEYS[4]) ~= 1 then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return 1
""")

# Whose session is there has claimed the challenge, nobody else: so it can't be put back for a login that another one
# completed.
_TAKE_BACK = LuaScript("""
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
if KEYS[3] then redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3]) end
return 1
""")

_END_ALL = LuaScript("""
if not KEYS[3] or redis.call('SET', KEYS[3], 1, 'NX', 'EX', ARGV[4]) then redis.call('INCR', KEYS[1]) end
local ended = 0
for _, id in ipairs(redis.call('HKEYS', KEYS[2])) do
  local key = ARGV[1] .. redis.call('HGET', KEYS[2], id)
  local session = redis.call('GET', key)
  local spare = id == ARGV[2]
  if session and not spare and ARGV[3] ~= '' then spare = cjson.decode(session)['authenticated_at'] > ARGV[3] end
  if not spare then
    redis.call('DEL', key)
    redis.call('HDEL', KEYS[2], id)
    if session then ended = ended + 1 end
  end
end
return ended
""")

_REPLACE = LuaScript("return redis.call('SET', KEYS[1], ARGV[1], 'XX', 'KEEPTTL') and 1 or 0")

_SESSION = "auth:session:"


def _session_key(token: str) -> str:
    return _SESSION + token_digest(token)


def _index_key(account_id: str) -> str:
    return f"auth:sessions:{account_id}"


def _epoch_key(account_id: str) -> str:
    return f"auth:epoch:{account_id}"


def challenge_key(challenge_id: str) -> str:
    """Where a challenge stands, for reading it in one step with a count; load it with load_challenge."""
    return f"auth:challenge:{challenge_id}"


def _sms_key(challenge_id: str) -> str:
    return f"auth:challenge_sms:{challenge_id}"


def epoch(redis: "Redis", account_id: str) -> int:
    """How often this account's sessions were ended so far."""
    return int(redis.get(_epoch_key(account_id)) or 0)


def open_session(redis: "Redis", session: Session, token: str, *, epoch: int, challenge_id: str | None = None) -> bool:
    """Claim the challenge (if the login had one) and make the session, in one step; False when either is void.

    N parallel right answers to one challenge make one session. A session made in the same step as the claim can't be
    lost between the two.
    """
    keys = [_epoch_key(session.account_id), _session_key(token), _index_key(session.account_id)]
    if challenge_id is not None:
        keys.append(challenge_key(challenge_id))
    life_ms = int((session.expires_at - session.authenticated_at).total_seconds() * 1000)
    return int(_OPEN.run(redis, keys, [epoch, _dump(session), life_ms, session.id, token_digest(token)])) == 1


def take_back(redis: "Redis", session: Session, token: str, *, challenge: LoginChallenge | None, now: datetime) -> None:
    """Undo open_session, if it came to pass: the session, whose token nobody has, ends; its challenge waits again."""
    keys, args = [_session_key(token), _index_key(session.account_id)], [session.id]
    if challenge is not None:
        keys.append(challenge_key(challenge.id))
        args += [_dump(challenge), str(_life_ms(challenge, now))]
    _TAKE_BACK.run(redis, keys, args)


def find(redis: "Redis", token: str) -> Session | None:
    """The live session of a token."""
    raw = _text(redis.get(_session_key(token)))
    return None if raw is None else _load(raw)


def step_up(redis: "Redis", session: Session, token: str, at: datetime, factors: tuple[Factor, ...]) -> bool:
    """Open the step-up window and note what was proven; False when the session has ended meanwhile."""
    renewed = replace(session, stepped_up_at=at, factors=tuple(dict.fromkeys((*session.factors, *factors))))
    return int(_REPLACE.run(redis, [_session_key(token)], [_dump(renewed)])) == 1


def sessions_of(redis: "Redis", account_id: str) -> list[Session]:
    """All live sessions of an account, newest first."""
    digests = [str(digest) for digest in redis.hgetall(_index_key(account_id)).values()]
    raws = redis.mget([_SESSION + digest for digest in digests]) if digests else []
    return sorted((_load(str(raw)) for raw in raws if raw), key=lambda session: session.authenticated_at, reverse=True)


def end(redis: "Redis", account_id: str, session_id: str) -> bool:
    """End one session of this account; False when there is none of that id."""
    digest = _text(redis.hget(_index_key(account_id), session_id))
    if digest is None:
        return False
    pipeline = redis.pipeline(transaction=True)
    pipeline.delete(_SESSION + digest)
    pipeline.hdel(_index_key(account_id), session_id)
    return int(pipeline.execute()[0]) == 1


def end_all(
    redis: "Redis",
    account_id: str,
    *,
    spare: str | None = None,
    authenticated_before: datetime | None = None,
    cause: str | None = None,
) -> int:
    """End every session but ``spare`` and those from after a moment, and every login under way.

    Of those who come with the same ``cause`` only the first ends logins: they carry no time that the others could
    spare them by. How many sessions were ended.
    """
    before = rfc3339(authenticated_before) if authenticated_before else ""
    keys = [_epoch_key(account_id), _index_key(account_id)]
    if cause is not None:
        keys.append(f"auth:logins_ended:{cause}")
    return int(_END_ALL.run(redis, keys, [_SESSION, spare or "", before, int(outbox.KEEP_FOR.total_seconds())]))


def put_challenge(redis: "Redis", challenge: LoginChallenge, now: datetime) -> None:
    """Store a challenge until it expires."""
    redis.set(challenge_key(challenge.id), _dump(challenge), px=_life_ms(challenge, now))


def get_challenge(redis: "Redis", challenge_id: str) -> LoginChallenge | None:
    """The live challenge of this id."""
    return load_challenge(_text(redis.get(challenge_key(challenge_id))))


def load_challenge(raw: str | None) -> LoginChallenge | None:
    """A stored challenge as a value."""
    if raw is None:
        return None
    members = json.loads(raw)
    return LoginChallenge(
        **{**members, "methods": tuple(members["methods"]), "expires_at": parse_rfc3339(members["expires_at"])}
    )


def delete_challenge(redis: "Redis", challenge_id: str) -> None:
    """The login can't be completed (an SMS request that could not be published)."""
    redis.delete(challenge_key(challenge_id), _sms_key(challenge_id))


def note_sms(redis: "Redis", challenge: LoginChallenge, sent: SentSms, now: datetime) -> None:
    """Remember the challenge's last SMS for its page."""
    redis.set(_sms_key(challenge.id), _dump(sent), px=_life_ms(challenge, now))


def last_sms(redis: "Redis", challenge_id: str) -> SentSms | None:
    """The challenge's last SMS."""
    raw = _text(redis.get(_sms_key(challenge_id)))
    return None if raw is None else SentSms(**json.loads(raw))


def _text(reply: bytes | str | None) -> str | None:
    """A reply of redis-py, whose types know nothing of decode_responses."""
    return reply if reply is None or isinstance(reply, str) else reply.decode()


def _life_ms(challenge: LoginChallenge, now: datetime) -> int:
    return max(1, int((challenge.expires_at - now).total_seconds() * 1000))


def _dump(value: Session | LoginChallenge | SentSms) -> str:
    # Not asdict, whose copies take longer than all the rest of it; every sign-in comes by here.
    return json.dumps({name: getattr(value, name) for name in value.__slots__}, default=rfc3339)


def _load(raw: str) -> Session:
    members = json.loads(raw)
    for name in ("authenticated_at", "stepped_up_at", "expires_at"):
        members[name] = parse_rfc3339(members[name]) if members[name] else None
    return Session(**{**members, "factors": tuple(Factor(factor) for factor in members["factors"])})
