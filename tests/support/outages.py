"""Parts that hang, and the answer that is due then: 503 with Retry-After within three seconds."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from deploy.portal import Answer

WITHIN_SECONDS = 3.0
LOCK_HELD_SECONDS = 10

_HOLD_THE_LOCK = f"""
import select, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
select.select([sys.stdin], [], [], {LOCK_HELD_SECONDS})
"""


@contextlib.contextmanager
def frozen(processes: Iterable[psutil.Process]) -> Iterator[None]:
    """They keep their connections and answer nothing."""
    stopped = list(processes)
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def write_locked(database: Path) -> Iterator[None]:
    """Another process holds SQLite's write lock, for ten seconds at most."""
    command = [sys.executable, "-c", _HOLD_THE_LOCK, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        try:
            yield
            assert holder.poll() is None, "the lock was let go before the test was over"
        finally:
            holder.communicate()


def timed(call: Callable[[], Answer]) -> tuple[Answer, float]:
    """The answer, and the seconds that it took."""
    started = time.monotonic()
    answer = call()
    return answer, time.monotonic() - started


def assert_unavailable(call: Callable[[], Answer], part: str | None = None) -> None:
    """The call is answered with 503, in time, and says when to come back and which part is away."""
    answer, seconds = timed(call)
    assert_is_unavailable(answer, part)
    assert seconds < WITHIN_SECONDS


def assert_is_unavailable(answer: Answer, part: str | None = None) -> None:
    """503 as callers know it."""
    assert answer.status == 503, answer.body
    assert answer.code == "service_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert part is None or answer.body["part"] == part


def at_once(calls: Iterable[Callable[[], Answer]]) -> list[tuple[Answer, float]]:
    """Make all the calls at the same moment; each one's answer and seconds."""
    waiting = list(calls)
    with ThreadPoolExecutor(len(waiting)) as threads:
        return list(threads.map(timed, waiting))
