"""Redis as Celery's broker: kombu's transport, and what it lacks to lose nothing.

kombu pops a message with one command and notes it as unacknowledged with the next one: a worker that dies between the
two takes the message along, and so does a connection that is cut. Here a message is noted as unacknowledged when it is
*published*, in the same step. Whoever looks for such messages after the visibility timeout leaves those alone that
still wait on their list, and puts the others back. Times are the server's, so a worker whose clock is wrong takes
nothing away from others.
"""

import base64
import binascii
import contextlib
import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, cast

from kombu.transport import redis as kombu_redis
from kombu.transport.base import Transport
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis import ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.lua import LuaScript
from shared.messages import QUEUES, SMS_CODES
from shared.redis_line import RedisLine

# Codes that wait behind a stopped worker grow stale, and who asks again while they are dropped would wait behind them.
# So the newest is served first; to those who wait for an older one it makes no difference while workers keep up.
NEWEST_FIRST = frozenset({SMS_CODES})

# Between a queue's name and the priority in the key of its list.
_PRIORITY_SEPARATOR = kombu_redis.Channel.sep

_NOW = """
local time = redis.call('TIME')
local now = string.format('%d.%06d', time[1], time[2])
"""

# KEYS: the list, the notes, their index. ARGV: the tag, the message, its exchange and routing key, the command.
_PUT = (
    _NOW
    + """
redis.call('HSET', KEYS[2], ARGV[1], '[' .. ARGV[2] .. ', ' .. ARGV[3] .. ']')
redis.call('ZADD', KEYS[3], now, ARGV[1])
return redis.call(ARGV[4], KEYS[1], ARGV[2])
"""
)

# KEYS: the notes, their index. ARGV: the tag. Whether there was a note.
_TAKEN = LuaScript(
    _NOW
    + """
redis.call('ZADD', KEYS[2], now, ARGV[1])
return redis.call('HEXISTS', KEYS[1], ARGV[1])
"""
)

# The same KEYS and ARGV.
_FINISHED = LuaScript("""
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
""")

# KEYS: the list, the notes, their index. ARGV: the tag, its note ('' for none), the message as it was, as it is put
# back, its exchange and routing key, and the command that puts it back.
_RESTORE = (
    _NOW
    + """
if (redis.call('HGET', KEYS[2], ARGV[1]) or '') ~= ARGV[2] then return 'changed' end
if ARGV[2] == '' then
  redis.call('ZREM', KEYS[3], ARGV[1])
  return 'gone'
end
redis.call('ZADD', KEYS[3], now, ARGV[1])
if redis.call('LPOS', KEYS[1], ARGV[3]) then return 'waits' end
redis.call('HSET', KEYS[2], ARGV[1], '[' .. ARGV[4] .. ', ' .. ARGV[5] .. ']')
redis.call(ARGV[6], KEYS[1], ARGV[4])
return 'restored'
"""
)


class _OnlyMessages(Redis):
    """Takes from a queue what kombu can read. Anything else would end the worker, and be lost.

    It becomes the body of a message that is no task, which a worker sets aside as a dead letter.
    """

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        reply = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name != "BRPOP" or not reply or _is_message(reply[1]):
            return reply
        queue = reply[0].decode().partition(_PRIORITY_SEPARATOR)[0]
        return [reply[0], _message_of(queue, reply[1])]


def _is_message(text: bytes) -> bool:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return False
    match message:
        case {
            "body": str(body),
            "headers": dict(),
            "properties": {
                "body_encoding": "base64",
                "delivery_tag": str(),
                "delivery_info": {"exchange": str(), "routing_key": str()},
            },
        }:
            try:
                base64.b64decode(body)
            except (binascii.Error, ValueError):
                return False
            return True
    return False


def _message_of(queue: str, body: bytes) -> bytes:
    properties = {
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
        "delivery_info": {"exchange": "", "routing_key": queue},
    }
    message = {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "headers": {},
        "properties": properties,
    }
    return json.dumps(message).encode()


class _Notes(kombu_redis.QoS):
    """What is unacknowledged: published and not finished."""

    def append(self, message: Any, delivery_tag: str) -> None:  # noqa: ANN401 - kombu's
        """This worker has it. Who published it has noted it; what came another way is noted now."""
        if self._ask(_TAKEN, delivery_tag):
            super(kombu_redis.QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]
        else:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        """Finished. Without Redis's answer, too, it is out of this worker's hands."""
        with self._out_of_hands_on_failure(delivery_tag):
            self._ask(_FINISHED, delivery_tag)
            super(kombu_redis.QoS, self).ack(delivery_tag)  # type: ignore[no-untyped-call]

    def _ask(self, script: LuaScript, delivery_tag: str) -> Any:  # noqa: ANN401 - whatever the script returns
        return self.channel.ask(script, [self.unacked_key, self.unacked_index_key], [delivery_tag])

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT002 - kombu's
        """Given up, or back to its list. Without Redis's answer, too, it is out of this worker's hands."""
        with self._out_of_hands_on_failure(delivery_tag):
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def _out_of_hands_on_failure(self, delivery_tag: str) -> Iterator[None]:
        """Celery logs an acknowledgement that fails, and keeps the connection.

        kombu would count the message as in hand for as long as that lasts, and a worker whose hands are full takes no
        other. Its note is there: it comes back.
        """
        try:
            yield
        except Exception:
            super(kombu_redis.QoS, self).ack(delivery_tag)  # type: ignore[no-untyped-call]
            raise

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 1) -> None:  # noqa: ARG002 - kombu's
        """Put back what nobody has finished in time, the oldest first; one worker at a time looks."""
        with self.channel.conn_or_acquire() as client:
            try:
                with kombu_redis.Mutex(client, self.unacked_mutex_key, self.unacked_mutex_expire):
                    seconds, microseconds = client.time()
                    until = seconds + microseconds / 1e6 - self.visibility_timeout
                    for tag in client.zrange(self.unacked_index_key, 0, until, byscore=True, offset=start, num=num):
                        self.restore_by_tag(tag, client)
            except kombu_redis.MutexHeld:
                pass

    def restore_by_tag(self, tag: str | bytes, client: Redis | None = None, leftmost: bool = False) -> None:  # noqa: FBT002 - kombu's
        """Put one back, unless it waits on its list, or is finished. It stays noted: it may be lost once more."""
        with self.channel.conn_or_acquire(client) as redis:
            note = redis.hget(self.unacked_key, tag)
            message, exchange, queue = loads(bytes_to_str(note)) if note else ({}, "", "")  # type: ignore[no-untyped-call]
            before = dumps(message)  # type: ignore[no-untyped-call]
            if note:
                message["headers"]["redelivered"] = True
                message["properties"]["delivery_info"]["redelivered"] = True
            redis.register_script(_RESTORE)(
                [self.channel.list_of(queue, message), self.unacked_key, self.unacked_index_key],
                [tag, note or "", before, dumps(message), _where(exchange, queue), "LPUSH" if leftmost else "RPUSH"],  # type: ignore[no-untyped-call]
            )


def _where(exchange: str, routing_key: str) -> str:
    """The rest of a note, after its message."""
    return f"{dumps(exchange)}, {dumps(routing_key)}"  # type: ignore[no-untyped-call]


class _Channel(kombu_redis.Channel):
    """A channel whose messages are noted, and whose lost connection fails as a lost connection does.

    kombu's own fails with an AttributeError, which ends a worker that has tasks in hand when Redis goes away.
    """

    QoS = _Notes
    _kept: Redis | None = None

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - kombu's
        self._idle: list[tuple[ConnectionPool, RedisLine]] = []
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]

    def ask(self, script: LuaScript, keys: Sequence[str], args: Sequence[str]) -> Any:  # noqa: ANN401 - the script's
        """Run a script once over a connection that is kept. Raises RedisError.

        What redis-py's client does for every command costs more than the command, and each message asks twice.
        """
        pool = self.pool
        try:
            kept = self._idle.pop()  # a claim: threads that finish at once must not look first and take then
        except IndexError:
            kept = None
        if kept is None or kept[0] is not pool:
            kept = (pool, RedisLine(pool.get_connection()))  # the pool closes it with the channel, all the same
        try:
            return script.over(kept[1], keys, args)
        finally:
            self._idle.append(kept)

    def list_of(self, queue: str, message: dict[str, Any]) -> str:
        """The key of the list on which a message of this priority waits."""
        priority = self._get_message_priority(message, reverse=False) if message else 0  # type: ignore[no-untyped-call]
        return str(self._q_for_pri(queue, priority))  # type: ignore[no-untyped-call]

    def _put(self, queue: str, message: dict[str, Any], **options: Any) -> None:  # noqa: ANN401 - kombu's
        if queue not in QUEUES:  # replies to `celery inspect`: nobody acknowledges them
            super()._put(queue, message, **options)  # type: ignore[no-untyped-call]
            return
        properties = message["properties"]
        where = properties["delivery_info"]
        with self.conn_or_acquire() as client:
            client.register_script(_PUT)(
                [self.list_of(queue, message), self.unacked_key, self.unacked_index_key],
                [
                    properties["delivery_tag"],
                    dumps(message),  # type: ignore[no-untyped-call]
                    _where(where["exchange"], where["routing_key"]),
                    "RPUSH" if queue in NEWEST_FIRST else "LPUSH",  # messages are taken from the right
                ],
            )

    def _restore(self, message: Any, leftmost: bool = False) -> None:  # noqa: ANN401, FBT002 - kombu's
        self.qos.restore_by_tag(message.delivery_tag, leftmost=leftmost)

    def _get_client(self) -> type[Redis]:
        return _OnlyMessages

    def _create_client(self, asynchronous: bool = False) -> Redis:  # noqa: FBT002 - kombu's
        """Made once for each pool: kombu makes one for every command, which costs as much as the command."""
        if asynchronous:
            return cast("Redis", super()._create_client(asynchronous))  # type: ignore[no-untyped-call]
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = cast("Redis", super()._create_client())  # type: ignore[no-untyped-call]
        return self._kept

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT002 - kombu's
        if self.connection.client is None:
            raise RedisConnectionError("the broker's connection was lost")
        params: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[no-untyped-call]
        return params


class _SentinelChannel(_Channel, kombu_redis.SentinelChannel):
    """The same behind sentinels."""


class _RedisTransport(kombu_redis.Transport):
    Channel = _Channel


class _SentinelTransport(kombu_redis.SentinelTransport):
    Channel = _SentinelChannel


TRANSPORTS: dict[str, type[Transport]] = {
    "redis": _RedisTransport,
    "rediss": _RedisTransport,
    "sentinel": _SentinelTransport,
}
