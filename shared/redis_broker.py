"""Redis as Celery's broker: kombu's transport, and what it lacks to lose nothing.

kombu pops a message with one command and notes it as unacknowledged with the next one: a worker that dies between the
two takes the message along, and so does a connection that is cut. Here a message is noted as unacknowledged when it is
*published*, in the same step. Whoever looks for such messages after the visibility timeout leaves those alone that
still wait on their list, and puts the others back. Times are the server's, so a worker whose clock is wrong takes
nothing away from others.
"""

import base64
import binascii
import json
import uuid
from collections.abc import Sequence
from typing import Any, cast

from kombu.transport import redis as kombu_redis
from kombu.transport.base import Transport
from kombu.utils.json import dumps
from redis import ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.lua import LuaScript
from shared.messages import QUEUES, SMS_CODES
from shared.redis_line import RedisLine
from shared.redis_notes import PUT, Notes, index_of, notes_of, source_of

# Codes that wait behind a stopped worker grow stale, and who asks again while they are dropped would wait behind them.
# So the newest is served first; to those who wait for an older one it makes no difference while workers keep up.
NEWEST_FIRST = frozenset({SMS_CODES})

# Between a queue's name and the priority in the key of its list.
_PRIORITY_SEPARATOR = kombu_redis.Channel.sep


class _OnlyMessages(Redis):
    """Takes from a queue what kombu can read. Anything else would end the worker, and be lost.

    It becomes the body of a message that is no task, which a worker sets aside as a dead letter.
    """

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        reply = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name != "BRPOP" or not reply:
            return reply
        queue = reply[0].decode().partition(_PRIORITY_SEPARATOR)[0]
        return reply if _is_message(queue, reply[1]) else [reply[0], _message_of(queue, reply[1])]


def _is_message(queue: str, text: bytes) -> bool:
    """Whether kombu can read it, and it names this queue: otherwise its note would stand at another queue."""
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
                "delivery_info": {"exchange": str(), "routing_key": str(routing_key)},
            },
        } if queue not in QUEUES or routing_key == queue:
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


class _Channel(kombu_redis.Channel):
    """A channel whose messages are noted, and whose lost connection fails as a lost connection does.

    kombu's own fails with an AttributeError, which ends a worker that has tasks in hand when Redis goes away.
    """

    QoS = Notes
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
            client.register_script(PUT)(
                [self.list_of(queue, message), notes_of(queue), index_of(queue)],
                [
                    properties["delivery_tag"],
                    dumps(message),  # type: ignore[no-untyped-call]
                    source_of(where["exchange"], where["routing_key"]),
                    "RPUSH" if queue in NEWEST_FIRST else "LPUSH",  # messages are taken from the right
                ],
            )

    def _restore(self, message: Any, leftmost: bool = False) -> None:  # noqa: ANN401, FBT002 - kombu's
        self.qos.restore(message.delivery_info["routing_key"], message.delivery_tag, leftmost=leftmost)

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
