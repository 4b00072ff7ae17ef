"""What goes to Redis, seen where it leaves: on the connection, whatever client method or script sent it."""

from collections.abc import Callable


def watch(monkeypatch, redis, sent: Callable[[bytes], None]) -> None:
    """Call ``sent`` with the bytes of each round trip, after the (fake) server has acted on them.

    Raising there is an answer that never came.
    """
    kind = redis.connection_pool.connection_class
    send = kind.send_packed_command

    def watched(connection, command, *args, **kwargs):
        send(connection, command, *args, **kwargs)
        sent(command if isinstance(command, bytes) else b"".join(command))

    monkeypatch.setattr(kind, "send_packed_command", watched)
