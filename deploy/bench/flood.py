"""A flood of logins, from a process of its own: its clients must not slow down the one that measures."""

import contextlib
import http.client
import json
import multiprocessing
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from urllib.parse import urlsplit

AT_MOST_SECONDS = 120.0  # it ends by itself, whatever became of the benchmark
_HEAD_START_SECONDS = 0.5


@contextlib.contextmanager
def flood_of_logins(base_url: str, clients: int) -> Iterator["Counter[int]"]:
    """Log in as fast as answers come, each time as somebody else from somewhere else.

    The counter holds how often each status was answered; it is filled at the end of the block.
    """
    spawning = multiprocessing.get_context("spawn")
    started, stop, counts = spawning.Event(), spawning.Event(), spawning.SimpleQueue()
    process = spawning.Process(target=_flood, args=(base_url, clients, started, stop, counts), daemon=True)
    process.start()
    statuses: Counter[int] = Counter()
    try:
        started.wait(10)
        time.sleep(_HEAD_START_SECONDS)
        yield statuses
    finally:
        stop.set()
        statuses.update(counts.get())
        process.join()


def _flood(
    base_url: str,
    clients: int,
    started: Event,
    stop: Event,
    counts: "multiprocessing.SimpleQueue[Counter[int]]",
) -> None:
    parts: list[Counter[int]] = [Counter() for _ in range(clients)]
    threads = [threading.Thread(target=_client, args=(urlsplit(base_url).netloc, stop, part)) for part in parts]
    for thread in threads:
        thread.start()
    started.set()
    for thread in threads:
        thread.join()
    counts.put(sum(parts, Counter()))


def _client(host: str, stop: Event, statuses: "Counter[int]") -> None:
    ends_at = time.monotonic() + AT_MOST_SECONDS
    connection = http.client.HTTPConnection(host, timeout=30)
    while not stop.is_set() and time.monotonic() < ends_at:
        guess = {"email": f"{secrets.token_hex(6)}@example.com", "password": "wrong horse 7", "transport": "bearer"}
        ip = f"172.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
        headers = {"Content-Type": "application/json", "X-Forwarded-For": ip}
        connection.request("POST", "/v1/login", json.dumps(guess), headers)
        response = connection.getresponse()
        response.read()
        statuses[response.status] += 1
    connection.close()
