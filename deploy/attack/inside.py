"""Reaching into a stack of our own: its Redis, its broker and its processes, to make happen what else takes luck."""

import contextlib
import json
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import psutil
from redis import Redis

from deploy.local.stack import Stack
from shared.clock import parse_rfc3339, rfc3339, system_clock
from shared.ids import new_id, token_digest
from shared.messages import SendSmsCode
from shared.queueing import Publisher, make_celery
from shared.secret import Secret


@contextlib.contextmanager
def frozen(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """They keep their connections and answer nothing."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def grow_older(stack: Stack, token: str, by: timedelta) -> None:
    """Move a session's proofs into the past, as waiting would. Raises KeyError when there is no such session."""
    key = f"auth:session:{token_digest(token)}"
    with Redis.from_url(stack.settings.redis_url, decode_responses=True) as redis:
        raw = redis.get(key)
        if raw is None:
            raise KeyError("there is no session of this token")
        session = json.loads(str(raw))
        for name in ("authenticated_at", "stepped_up_at"):
            if session[name]:
                session[name] = rfc3339(parse_rfc3339(session[name]) - by)
        redis.set(key, json.dumps(session), keepttl=True)


def publish_again(stack: Stack, message_id: str, deadline: datetime, copies: int) -> None:
    """Put the order to send this SMS code on the queue so many times more, as a broker that redelivers would."""
    celery = make_celery("attack", Secret(stack.settings.broker_url))
    try:
        publisher = Publisher(celery)
        for _ in range(copies):
            order = SendSmsCode(id=new_id("msg"), occurred_at=system_clock(), message_id=message_id, deadline=deadline)
            publisher.publish(order)
    finally:
        celery.close()
