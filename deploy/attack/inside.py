"""Reaching into a stack of our own: its Redis, its broker and its processes, to make happen what else takes luck."""

import contextlib
import json
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import psutil
from redis import Redis
from sqlalchemy import MetaData, Table, select, text, update

from deploy.local.environment import environment_of
from deploy.local.keys import read_keys
from deploy.local.stack import Stack
from deploy.portal import wait_for
from shared.clock import parse_rfc3339, rfc3339, system_clock
from shared.database import opened, reading, writing
from shared.ids import new_id, token_digest
from shared.messages import KEPT_FOR, SMS_CODES, SendSmsCode, encode
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


STRANGERS_AT_MOST = 60  # wrong codes of browsers that the account does not know


def have_failed(stack: Stack, account_id: str, failures: int) -> None:
    """So many wrong codes in a row, which would take days, and a Redis that was lost after them: SQL alone has them.

    The first of them are strangers' ones, as many as those may have.

    The account must have signed in with a code before: what that leaves behind would else end the row again.
    """
    url = environment_of("otp", stack.settings, read_keys(stack.settings.keys_file))["OTP_DATABASE_URL"]
    of_account = {"account": account_id, "failures": failures, "strangers": min(failures, STRANGERS_AT_MOST)}

    with opened(url) as database:

        def settled() -> bool:
            """The record of the last sign-in."""
            query = "SELECT count(*) FROM attempts WHERE account_id = :account AND purpose = 'login'"
            with reading(database) as connection:
                return bool(connection.execute(text(query), of_account).scalar_one())

        wait_for(settled)
        put = """
            INSERT INTO verification_states (account_id, consecutive_failures, strangers_failures)
            VALUES (:account, :failures, :strangers)
            ON CONFLICT (account_id) DO UPDATE SET consecutive_failures = excluded.consecutive_failures,
            strangers_failures = excluded.strangers_failures
        """
        with writing(database) as connection:
            connection.execute(text(put), of_account)
    with Redis.from_url(stack.settings.redis_url, decode_responses=True) as redis:
        for row in ("", ".strangers"):
            for key in redis.scan_iter(f"budget:otp.verify.consecutive{row}:*:{account_id}"):
                redis.delete(key)


def end_windows(stack: Stack, account_id: str) -> None:
    """End the account's windows of codes, as waiting a day would; its rows of failures have none."""
    with Redis.from_url(stack.settings.redis_url, decode_responses=True) as redis:
        for key in redis.scan_iter(f"budget:otp.verify.login*:{account_id}*"):
            redis.delete(key)


def leave_unused(stack: Stack, account_id: str, by: timedelta) -> None:
    """Move the last use of the account's devices into the past, as waiting would."""
    url = environment_of("auth", stack.settings, read_keys(stack.settings.keys_file))["AUTH_DATABASE_URL"]
    with opened(url) as database, writing(database) as connection:
        devices = Table("devices", MetaData(), autoload_with=connection)
        for row in connection.execute(select(devices).where(devices.c.account_id == account_id)).all():
            moved = {"last_used_at": row.last_used_at - by, "created_at": row.created_at - by}
            connection.execute(update(devices).where(devices.c.id == row.id).values(**moved))


@contextlib.contextmanager
def guessed_everywhere(stack: Stack, guesses: int) -> Iterator[None]:
    """As if so many wrong codes were entered at other accounts in this hour. Then all is forgotten, the brake too."""
    with Redis.from_url(stack.settings.redis_url, decode_responses=True) as redis:
        hours = sorted(
            redis.scan_iter("budget:auth.guessing.wrong_code:*"), key=lambda key: int(key.rpartition(":")[2])
        )
        redis.set(hours[-1], guesses, keepttl=True)
        try:
            yield
        finally:
            for pattern in ("budget:auth.guessing.*", "auth:guessing:*"):
                for key in redis.scan_iter(pattern):
                    redis.delete(key)


def publish_again(stack: Stack, message_id: str, deadline: datetime, copies: int) -> None:
    """Put the order to send this SMS code on the queue so many times more, as a broker that redelivers would."""
    celery = make_celery("attack", Secret(stack.settings.broker_url))
    try:
        publisher = Publisher(celery)
        for _ in range(copies):
            order = SendSmsCode(id=new_id("msg"), occurred_at=system_clock(), message_id=message_id, deadline=deadline)
            publisher.publish_to(SMS_CODES, encode(order), kept_for=KEPT_FOR[SendSmsCode])
    finally:
        celery.close()


def let_wait(stack: Stack, reset_id: str, by: timedelta) -> None:
    """Move a reset's request into the past, as waiting would."""
    url = environment_of("auth", stack.settings, read_keys(stack.settings.keys_file))["AUTH_DATABASE_URL"]
    with opened(url) as database, writing(database) as connection:
        resets = Table("two_factor_resets", MetaData(), autoload_with=connection)
        times = [column for column in resets.columns if column.name in {"requested_at", "approval_ends_at"}]
        row = connection.execute(select(*times).where(resets.c.id == reset_id)).one()
        moved = {column.name: at - by for column, at in zip(times, row, strict=True) if at is not None}
        connection.execute(update(resets).where(resets.c.id == reset_id).values(**moved))


def redis_url_of(stack: Stack, service: str) -> str:
    """Where a service of the stack finds Redis, with its own credentials."""
    return environment_of(service, stack.settings, read_keys(stack.settings.keys_file))["REDIS_URL"]
