"""The answers of changes, kept for a minute for a repeat of the same call with the same token.

An answer is sealed under a key that is derived from that token, which Redis never sees, so Redis alone opens nothing.
The call may have ended the token. The token then serves for this repeat and nothing else.
"""

import base64
import hashlib
import hmac
import json
import os
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis import Redis

from services.auth import standing_answer
from services.auth.domain.session import PassOn
from services.auth.limits import REPEATABLE_FOR
from shared.clock import parse_rfc3339, rfc3339
from shared.problems import Refusal
from shared.secret import Secret

NONCE_BYTES = 12  # NIST SP 800-38D §8.2.2
_LIFE_MS = int(REPEATABLE_FOR.total_seconds() * 1000)
_MEMBERS = 6  # of a kept answer


@dataclass(frozen=True, slots=True)
class Call:
    """A call that may be repeated: the key of its answer in Redis, and the key that seals the answer."""

    key: str
    secret: Secret[bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it went out: ``headers`` are those that carry a token."""

    status: int
    content_type: str
    body: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def call_of(token: str, method: str, path: str, body: bytes, idempotency_key: str | None) -> Call:
    """Identify the call of this request. Two calls are the same when all five values are."""
    request = json.dumps([method, path, hashlib.sha256(body).hexdigest(), idempotency_key]).encode()

    def derived(purpose: str) -> bytes:
        return hmac.digest(token.encode(), f"latchkey repeat {purpose}\n".encode() + request, "sha256")

    return Call(f"auth:answer:{derived('name').hex()}", Secret(derived("seal")))


def pass_on(call: Call, now: datetime) -> PassOn:
    """How the session's new token is kept for a minute, in case the gateway is killed before it keeps the answer."""
    until = rfc3339(now + REPEATABLE_FOR)
    return PassOn(_passed_on_key(call), lambda token: _seal(call, json.dumps([token, until]).encode()))


def passed_on(redis: "Redis", call: Call, now: datetime) -> str | None:
    """The new token of the session that made this call within the last minute. Raises RedisError."""
    sealed = redis.get(_passed_on_key(call))
    opened = None if sealed is None else _open(call, sealed)
    if opened is None:
        return None
    token, until = json.loads(opened)
    return str(token) if parse_rfc3339(until) > now else None


def _passed_on_key(call: Call) -> str:
    return call.key.replace("auth:answer:", "auth:passed_on:", 1)


def _seal(call: Call, plain: bytes) -> str:
    nonce = os.urandom(NONCE_BYTES)
    sealed = nonce + AESGCM(call.secret.reveal()).encrypt(nonce, plain, call.key.encode())
    return base64.b64encode(sealed).decode()


def _open(call: Call, kept: str | bytes) -> bytes | None:
    """None when it was not sealed with this token."""
    sealed = base64.b64decode(kept)
    try:
        return AESGCM(call.secret.reveal()).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], call.key.encode())
    except InvalidTag:
        return None


def keep(redis: "Redis", account_id: str, call: Call, answer: Answer, now: datetime) -> None:
    """Keep the answer for a minute, and void the account's earlier one. Raises RedisError."""
    until = rfc3339(now + REPEATABLE_FOR)
    members = [answer.status, answer.content_type, answer.body, answer.headers, until, account_id]
    sealed = _seal(call, json.dumps(members).encode())
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.set(call.key, sealed, px=_LIFE_MS)
        standing_answer.queue_set(pipeline, account_id, call.key, now, life_ms=_LIFE_MS)
        pipeline.execute()


def find(redis: "Redis", call: Call, now: datetime) -> Answer | None:
    """Return the answer to this call, if it was given within the last minute.

    Raises RedisError, and Refusal answer_replaced when the account was changed since.
    """
    kept = redis.get(call.key)
    if kept is None:
        return None
    opened = _open(call, kept)
    if opened is None:
        return None
    members = json.loads(opened)
    if len(members) != _MEMBERS:  # of another release, which runs beside this one during an upgrade
        return None
    status, content_type, body, headers, until, account_id = members
    if parse_rfc3339(until) <= now:
        return None
    if not standing_answer.stands(redis, account_id, call.key):
        raise Refusal("answer_replaced")
    return Answer(status, content_type, body, tuple((name, value) for name, value in headers))
