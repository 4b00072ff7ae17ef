"""Access to the broker of our own stack with its password: putting messages on it, and reading past ones."""

import json
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from redis import Redis
from sqlalchemy import text

from deploy.local.environment import environment_of
from deploy.local.keys import read_keys
from deploy.local.stack import Stack
from shared.clock import parse_rfc3339, rfc3339, system_clock
from shared.database import opened, reading
from shared.delivery import queue_put
from shared.envelope import Envelope
from shared.ids import new_id
from shared.keys import Key, KeyList
from shared.messages import AUTH, NOTIFY, OTP, SendSmsCode, SendSmsNotice
from shared.queueing import Publisher, make_celery
from shared.sealed_text import SealedText
from shared.secret import Secret
from shared.signed_messages import KIND, QUEUE, SENDER, SIGNATURE
from shared.signing import Signer

Signing = Callable[[dict[str, Any]], object]


def publish(stack: Stack, queue: str, document: object) -> None:
    """Put this on a queue, for its own task."""
    celery = make_celery("attack", Secret(stack.settings.broker_url))
    try:
        Publisher(celery).publish_to(queue, document)
    finally:
        celery.close()


def forgeries(stack: Stack, sender: str, queue: str) -> Iterator[tuple[str, Signing]]:
    """Ways to forge a message without its sender's key, each with a name."""
    keys = read_keys(stack.settings.keys_file)
    newest = KeyList.parse(keys[f"{sender.upper()}_SIGNING_KEYS"]).newest
    made_up = KeyList((Key(newest.id, Secret(secrets.token_bytes(len(newest.material.reveal())))),))
    yield "nobody", lambda message: message
    yield f"a made-up key of {sender}", partial(_signed, Signer(sender, made_up), queue)
    for other in {AUTH, OTP, NOTIFY} - {sender}:
        others = KeyList.parse(keys[f"{other.upper()}_SIGNING_KEYS"])
        yield f"{other}'s key in its own name", partial(_signed, Signer(other, others), queue)
        yield f"{other}'s key in the name of {sender}", partial(_signed, Signer(sender, others), queue)


def _signed(signer: Signer, queue: str, message: dict[str, Any]) -> dict[str, Any]:
    members = {**message, SENDER: signer.sender, QUEUE: queue}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return {**members, SIGNATURE: signer.sign(KIND, text)}


def sealed(stack: Stack, number: str, body: str) -> str:
    """Seal a text for this number with notify's public key, which anybody may know."""
    keys = read_keys(stack.settings.keys_file)
    expires_at = system_clock() + timedelta(minutes=5)
    envelope = Envelope(account_id="acc_nobody", recipient=number, subject=None, body=body, expires_at=expires_at)
    return envelope.seal(KeyList.parse(keys["NOTIFY_PUBLIC_KEY"]).newest)


def notice_order(sealed_text: str) -> dict[str, Any]:
    """The order to send a sealed text as a notice."""
    return _order(SendSmsNotice.TYPE, sealed=sealed_text)


def leave_code(stack: Stack, sealed_text: str) -> dict[str, Any]:
    """Leave a sealed text that otp has not signed where codes wait; the order to send it."""
    order = _order(SendSmsCode.TYPE)
    keys, now = read_keys(stack.settings.keys_file), system_clock()
    notify = Signer(OTP, KeyList.parse(keys["NOTIFY_SIGNING_KEYS"]))
    unsigned = SealedText.sign(notify, order["message_id"], sealed_text, parse_rfc3339(order["deadline"]))
    with Redis.from_url(stack.settings.redis_url) as redis, redis.pipeline() as pipeline:
        queue_put(pipeline, order["message_id"], unsigned, now=now, ttl=timedelta(minutes=4))
        pipeline.execute()
    return order


def _order(kind: str, **members: str) -> dict[str, Any]:
    now = system_clock()
    return {
        "type": kind,
        "version": 1,
        "id": new_id("msg"),
        "occurred_at": rfc3339(now),
        "message_id": new_id("msg"),
        "deadline": rfc3339(now + timedelta(minutes=4)),
        **members,
    }


def waiting_in(stack: Stack, queue: str, kind: str) -> dict[str, Any] | None:
    """The last message of this type that auth has signed for a queue, published or not."""
    url = environment_of("auth", stack.settings, read_keys(stack.settings.keys_file))["AUTH_DATABASE_URL"]
    query = text("SELECT document FROM outbox WHERE queue = :queue ORDER BY position DESC LIMIT 50")
    with opened(url) as database, reading(database) as connection:
        found = [dict(json.loads(each)) for each in connection.execute(query, {"queue": queue}).scalars()]
    return next((document for document in found if document["type"] == kind), None)
