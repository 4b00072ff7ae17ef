"""Clients in threads: a fixed list of calls at a fixed concurrency, every one timed."""

import http.client
import json
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Call:
    """One call, the status that it must have, and the client address that the proxy in front of us reports.

    ``binding`` proves that this client began the login that it answers.
    """

    path: str
    body: dict[str, object]
    expected: int
    ip: str
    binding: str = ""
    keep: Callable[[Any], None] | None = None
    method: str = "POST"


@dataclass(slots=True)
class Measured:
    """What came of a run: how long in all, each latency, and how many answers were not the expected ones."""

    wall_seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    unexpected: dict[int, int] = field(default_factory=dict)

    def add(self, other: "Measured") -> None:
        """Join two rounds of the same thing."""
        self.wall_seconds += other.wall_seconds
        self.latencies_ms += other.latencies_ms
        for status, count in other.unexpected.items():
            self.unexpected[status] = self.unexpected.get(status, 0) + count

    @property
    def per_second(self) -> float:
        """Calls answered a second."""
        return len(self.latencies_ms) / self.wall_seconds if self.wall_seconds else 0.0

    def percentile(self, share: float) -> float:
        """Latency in ms that this share of the calls stayed under."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def drive(base_url: str, calls: Iterable[Call], concurrency: int) -> Measured:
    """Send all calls over ``concurrency`` kept-alive connections."""
    waiting: queue.SimpleQueue[Call] = queue.SimpleQueue()
    for call in calls:
        waiting.put(call)
    host = urlsplit(base_url).netloc
    parts = [Measured() for _ in range(concurrency)]
    threads = [threading.Thread(target=_client, args=(host, waiting, part)) for part in parts]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = Measured()
    for part in parts:
        whole.add(part)
    whole.wall_seconds = time.perf_counter() - started
    return whole


def _client(host: str, waiting: "queue.SimpleQueue[Call]", measured: Measured) -> None:
    connection = http.client.HTTPConnection(host, timeout=30)
    while True:
        try:
            call = waiting.get_nowait()
        except queue.Empty:
            connection.close()
            return
        headers = {"Content-Type": "application/json", "X-Forwarded-For": call.ip, "X-Challenge-Binding": call.binding}
        started = time.perf_counter()
        body = None if call.method == "GET" else json.dumps(call.body)
        connection.request(call.method, call.path, body, headers)
        response = connection.getresponse()
        data = response.read()
        measured.latencies_ms.append((time.perf_counter() - started) * 1000)
        if response.status != call.expected:
            measured.unexpected[response.status] = measured.unexpected.get(response.status, 0) + 1
        elif call.keep is not None:
            call.keep(json.loads(data))
