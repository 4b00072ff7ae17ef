"""Notes of the messages that are published and not finished, with Redis as broker, kept apart for each queue.

A Redis user with rights on one queue therefore has none on the notes of another.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis import Redis

from shared.lua import LuaScript
from shared.messages import QUEUES

_NOW = """
local time = redis.call('TIME')
local now = string.format('%d.%06d', time[1], time[2])
"""


def notes_of(queue: str) -> str:
    """The key of the notes of this queue's messages, which are published and not finished."""
    return f"unacked:{queue}"


def index_of(queue: str) -> str:
    """The key of the index: the tags of these messages by the time at which each was published or taken."""
    return f"unacked_index:{queue}"


# KEYS: the list, the notes, their index. ARGV: the tag, the message, its exchange and routing key, the command.
PUT = (
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


class Notes(kombu_redis.QoS):
    """What is unacknowledged: published and not finished."""

    def append(self, message: Any, delivery_tag: str) -> None:  # noqa: ANN401 - kombu's
        """Note that this worker holds the message. It gets a note here if its publisher has made none."""
        queue = message.delivery_info["routing_key"]
        if not self._ask(_TAKEN, queue, delivery_tag):
            source = source_of(message.delivery_info["exchange"], queue)
            with self.channel.conn_or_acquire() as client:
                client.hset(notes_of(queue), delivery_tag, f"[{dumps(message._raw)}, {source}]")  # type: ignore[no-untyped-call]  # noqa: SLF001 - as kombu does
        super(kombu_redis.QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        """Delete the note of a finished message. The worker lets go of the message even without Redis's answer."""
        with self._out_of_hands_on_failure(delivery_tag):
            self._ask(_FINISHED, self._queue_of(delivery_tag), delivery_tag)
            super(kombu_redis.QoS, self).ack(delivery_tag)  # type: ignore[no-untyped-call]

    def _queue_of(self, delivery_tag: str) -> str:
        """The queue of a message that this worker holds."""
        return str(self._delivered[delivery_tag].delivery_info["routing_key"])

    def _ask(self, script: LuaScript, queue: str, delivery_tag: str) -> Any:  # noqa: ANN401 - whatever the script returns
        return self.channel.ask(script, [notes_of(queue), index_of(queue)], [delivery_tag])

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT002 - kombu's
        """Drop a message, or put it back on its list. The worker lets go of it even without Redis's answer."""
        with self._out_of_hands_on_failure(delivery_tag):
            queue = self._queue_of(delivery_tag)
            if requeue:
                self.restore(queue, delivery_tag, leftmost=True)
            else:
                self._ask(_FINISHED, queue, delivery_tag)
            super(kombu_redis.QoS, self).ack(delivery_tag)  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def _out_of_hands_on_failure(self, delivery_tag: str) -> Iterator[None]:
        """Celery logs an acknowledgement that fails, and keeps the connection.

        kombu would count the message as held until the connection ends, and a worker that holds its maximum takes no
        other. The note still exists, so the message comes back.
        """
        try:
            yield
        except Exception:
            super(kombu_redis.QoS, self).ack(delivery_tag)  # type: ignore[no-untyped-call]
            raise

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 1) -> None:  # noqa: ARG002 - kombu's
        """Put back the messages that were not finished in time, oldest first; one worker at a time checks a queue.

        Each worker checks the queues that it takes from, because it has no rights on others.
        """
        for queue in QUEUES.keys() & set(self.channel.active_queues):
            self._restore_visible(queue, start, num)

    def _restore_visible(self, queue: str, start: int, num: int | None) -> None:
        with self.channel.conn_or_acquire() as client:
            try:
                with kombu_redis.Mutex(client, f"{self.unacked_mutex_key}:{queue}", self.unacked_mutex_expire):
                    seconds, microseconds = client.time()
                    until = seconds + microseconds / 1e6 - self.visibility_timeout
                    for tag in client.zrange(index_of(queue), 0, until, byscore=True, offset=start, num=num):
                        self.restore(queue, tag, client)
            except kombu_redis.MutexHeld:
                pass

    def restore(self, queue: str, tag: str | bytes, client: Redis | None = None, *, leftmost: bool = False) -> None:
        """Put one back, unless it waits on its list or is finished. Its note stays: it may be lost once more."""
        with self.channel.conn_or_acquire(client) as redis:
            note = redis.hget(notes_of(queue), tag)
            message, exchange, _ = loads(bytes_to_str(note)) if note else ({}, "", "")  # type: ignore[no-untyped-call]
            before = dumps(message)  # type: ignore[no-untyped-call]
            if note:
                message["headers"]["redelivered"] = True
                message["properties"]["delivery_info"]["redelivered"] = True
            redis.register_script(_RESTORE)(
                [self.channel.list_of(queue, message), notes_of(queue), index_of(queue)],
                [tag, note or "", before, dumps(message), source_of(exchange, queue), "LPUSH" if leftmost else "RPUSH"],  # type: ignore[no-untyped-call]
            )


def source_of(exchange: str, routing_key: str) -> str:
    """The rest of a note, after its message."""
    return f"{dumps(exchange)}, {dumps(routing_key)}"  # type: ignore[no-untyped-call]
