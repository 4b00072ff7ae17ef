"""A Redis server that a test may kill, freeze and start again; its data outlives that."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.local.redis_server import answers_ping, redis_argv
from tests.support.free_port import free_port
from tests.support.server import Server


@contextlib.contextmanager
def redis_process() -> Iterator[tuple[Server, str]]:
    """A running server and its URL."""
    with tempfile.TemporaryDirectory(prefix="latchkey-redis-", ignore_cleanup_errors=True) as folder:
        port = free_port()
        server = Server(
            name="Redis",
            argv=redis_argv(Path(folder), port),
            answers=lambda: answers_ping(port, 0.2),
            log=Path(folder) / "server.log",
        )
        try:
            server.start()
            yield server, f"redis://127.0.0.1:{port}/0"
        finally:
            server.stop()
