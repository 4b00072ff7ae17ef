"""Live SMS passcodes in Redis: digests only, bound to account, purpose and binding.

One hash a slot, a field a message; a second one, for a moment, holds what was accepted. An index of the slots of each
account lets a reset find them without SCAN.
"""

import hmac
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from redis import Redis
from redis.client import Pipeline

from services.otp import lane_store
from services.otp.domain.attempt import Claim
from services.otp.domain.lane import Lane
from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import SECOND_FACTOR_PURPOSES, Purpose, occasion, requested_by
from services.otp.domain.sms_text import LIVES_FOR
from services.otp.limits import ACCEPTED_AGAIN_FOR
from shared import delivery
from shared.channel import Channel
from shared.clock import parse_rfc3339, rfc3339
from shared.keys import Key, KeyList
from shared.lua import LuaScript
from shared.sealed_text import SealedText

LIVE_AT_ONCE = 2  # the current one and the one before it: texts overtake each other

# One step and its reply is the answer. HDEL, not DEL, decides: a passcode that was claimed or withdrawn meanwhile must
# not be paid for by a newer one. The rest of the slot dies with the winner, so that two live codes give one success.
# What was accepted is kept in the same step: a repeated request finds it however soon it comes, and whoever died. And
# its lane is credited: the keys from the third on are pairs, a counter of sends and the one of codes that came back,
# which lives as long. The last ARGV[3] keys are the tallies that hold its send, and there its senders (the other ARGV)
# have one unanswered send less.
_CLAIM = LuaScript("""
local passcode = redis.call('HGET', KEYS[1], ARGV[1])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return redis.call('HEXISTS', KEYS[2], ARGV[1]) * 2 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[2], ARGV[1], passcode)
redis.call('PEXPIRE', KEYS[2], ARGV[2])
local pairs_end = #KEYS - tonumber(ARGV[3])
for i = 3, pairs_end, 2 do
  local left = redis.call('PTTL', KEYS[i])
  if left > 0 then
    redis.call('INCR', KEYS[i + 1])
    redis.call('PEXPIRE', KEYS[i + 1], left)
  end
end
for i = pairs_end + 1, #KEYS do
  for sender = 4, #ARGV do
    if tonumber(redis.call('HGET', KEYS[i], ARGV[sender]) or '0') > 0 then
      redis.call('HINCRBY', KEYS[i], ARGV[sender], -1)
    end
  end
end
return 1
""")
# What an earlier release has stored of a send: phone, prefix, probe, device_known.
_SENT_BEFORE_WEIGHED = 4
_ACCEPTED_AGAIN_MS = int(ACCEPTED_AGAIN_FOR.total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class Slot:
    """What a passcode is good for: one request (``binding``) of one purpose of one account."""

    account_id: str
    purpose: Purpose
    binding: str

    @property
    def key(self) -> str:
        """The Redis hash of its live passcodes."""
        return _key(self.account_id, self.name)

    @property
    def accepted_key(self) -> str:
        """The Redis hash of the one that was accepted a moment ago."""
        return _accepted_key(self.account_id, self.name)

    @property
    def name(self) -> str:
        """Its member in the account's index."""
        return occasion(self.purpose, self.binding)

    def digest(self, key: Key, message_id: str, passcode: Passcode) -> str:
        """The keyed digest that is kept in place of the passcode."""
        return key.mac("sms passcode", self.account_id, self.purpose, self.binding, message_id, passcode.digits)


@dataclass(frozen=True, slots=True)
class LivePasscode:
    """One passcode that was sent, and what its send was counted under: the phone's keyed digest and the prefix.

    ``probe``: it went out while its lane was paused. ``device_known``: a known device paid for it. ``weighed``: whether
    the breaker counted its send, in each row of SMS_LANE. One that an earlier release has stored has no prefix, and its
    return credits nobody.
    """

    message_id: str
    key_id: str
    digest: str
    expires_at: datetime
    phone: str
    prefix: str = ""
    probe: bool = False
    device_known: bool = False
    weighed: tuple[bool, ...] = ()
    channel: Channel = Channel.SMS


def parse(reply: Sequence[str] | None, now: datetime) -> list[LivePasscode]:
    """The passcodes of a slot that have not expired, newest first; ``reply`` is its hash as a script returns it."""
    passcodes = sorted(parse_accepted(reply), key=lambda passcode: passcode.expires_at, reverse=True)
    return [passcode for passcode in passcodes if passcode.expires_at > now]


def parse_accepted(reply: Sequence[str] | None) -> list[LivePasscode]:
    """What was accepted a moment ago. Redis ends it, and not the passcode's own end, which may have come meanwhile."""
    if not reply:
        return []
    return [_load(message_id, value) for message_id, value in zip(reply[::2], reply[1::2], strict=True)]


def match(slot: Slot, live: Iterable[LivePasscode], passcode: Passcode, keys: KeyList) -> LivePasscode | None:
    """The live passcode that this is, compared in constant time under the key that it was kept under."""
    for candidate in live:
        key = keys.find(candidate.key_id)
        if key and hmac.compare_digest(slot.digest(key, candidate.message_id, passcode), candidate.digest):
            return candidate
    return None


def put(
    redis: Redis, slot: Slot, new: LivePasscode, text: SealedText, *, earlier: Sequence[LivePasscode], now: datetime
) -> None:
    """Add a passcode and its sealed text, all or nothing.

    Of the earlier ones, newest first, LIVE_AT_ONCE - 1 live on; their texts that still wait are superseded.
    """
    index = _index(slot.account_id)
    with redis.pipeline(transaction=True) as pipeline:
        for old in earlier:
            delivery.queue_withdraw(pipeline, old.message_id)
        for old in earlier[LIVE_AT_ONCE - 1 :]:
            pipeline.hdel(slot.key, old.message_id)
        pipeline.hset(slot.key, new.message_id, _dump(new))
        pipeline.expire(slot.key, LIVES_FOR)
        pipeline.sadd(index, slot.name)
        pipeline.expire(index, LIVES_FOR + ACCEPTED_AGAIN_FOR)
        delivery.queue_put(pipeline, new.message_id, text, now=now, ttl=LIVES_FOR, account_id=slot.account_id)
        pipeline.execute()


def claim(redis: Redis, slot: Slot, passcode: LivePasscode) -> Claim:
    """Use a passcode up, and with it the slot; LOST when it was used, withdrawn or replaced meanwhile.

    In the same step its lane is credited with a code that came back.
    """
    lane = Lane(slot.purpose, passcode.prefix)
    tallies = lane_store.tallies_with(lane, passcode.weighed)
    keys = [slot.key, slot.accepted_key, *lane_store.credited(lane, probe=passcode.probe), *tallies]
    senders = lane_store.senders(slot.account_id, passcode.phone)
    args: list[str | int] = [passcode.message_id, _ACCEPTED_AGAIN_MS, len(tallies), *senders]
    return Claim(int(_CLAIM.run(redis, keys, args)))


def queue_forget(pipeline: Pipeline, slot: Slot, passcodes: Sequence[LivePasscode]) -> None:
    """Let these die, and take back their texts that still wait to be sent."""
    for passcode in passcodes:
        pipeline.hdel(slot.key, passcode.message_id)
        delivery.queue_withdraw(pipeline, passcode.message_id)


def withdraw(redis: Redis, slot: Slot, message_id: str) -> LivePasscode | None:
    """Take one passcode and its text back; None when it is not there (any more)."""
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.hget(slot.key, message_id)
        pipeline.hdel(slot.key, message_id)
        delivery.queue_withdraw(pipeline, message_id)
        value, deleted, _ = pipeline.execute()
    return _load(message_id, value) if deleted else None


def forget_account(redis: Redis, account_id: str, purposes: frozenset[Purpose]) -> None:
    """Let all live passcodes of these purposes die, and no accepted second factor be repeated."""
    _forget_slots(redis, account_id, [name for name in _names(redis, account_id) if name.partition(":")[0] in purposes])


def forget_sessions(redis: Redis, account_id: str, session_ids: Collection[str]) -> None:
    """Let all live passcodes die that these sessions have requested, and no accepted second factor be repeated."""
    if session_ids:
        names = [name for name in _names(redis, account_id) if requested_by(name) in session_ids]
        _forget_slots(redis, account_id, names)


def _names(redis: Redis, account_id: str) -> list[str]:
    return [str(name) for name in redis.smembers(_index(account_id))]


def _forget_slots(redis: Redis, account_id: str, names: Sequence[str]) -> None:
    """Let the live passcodes of these slots die, and no accepted second factor be repeated.

    An accepted proof of a phone stays, because auth ends the codes before it commits what the proof serves, and repeats
    that call if it fails. Once the number is the account's, auth asks for this proof no more.
    """
    if not names:
        return
    with redis.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.hkeys(_key(account_id, name))
        message_ids = [message_id for reply in pipeline.execute() for message_id in reply]
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.delete(*(_key(account_id, name) for name in names))
        for name in names:
            if name.partition(":")[0] in SECOND_FACTOR_PURPOSES:
                pipeline.delete(_accepted_key(account_id, name))
        for message_id in message_ids:
            delivery.queue_withdraw(pipeline, message_id)
        pipeline.srem(_index(account_id), *names)
        pipeline.execute()


def _key(account_id: str, name: str) -> str:
    return f"otp:sms:{account_id}:{name}"


def _accepted_key(account_id: str, name: str) -> str:
    return f"otp:sms-accepted:{account_id}:{name}"


def _index(account_id: str) -> str:
    return f"otp:sms-slots:{account_id}"


def _dump(passcode: LivePasscode) -> str:
    sent = [passcode.phone, passcode.prefix, passcode.probe, passcode.device_known, passcode.weighed]
    call = [passcode.channel] if passcode.channel is Channel.CALL else []  # the previous release knows texts alone
    return json.dumps([passcode.key_id, passcode.digest, rfc3339(passcode.expires_at), *sent, *call])


def _load(message_id: str, value: str) -> LivePasscode:
    key_id, digest, expires_at, *sent = json.loads(value)
    channel = Channel(sent.pop()) if sent[-1:] == [Channel.CALL] else Channel.SMS
    weighed = tuple(sent.pop()) if len(sent) > _SENT_BEFORE_WEIGHED else ()
    passcode = LivePasscode(message_id, key_id, digest, parse_rfc3339(expires_at), *sent)
    return replace(passcode, weighed=weighed, channel=channel)
