"""Workers that send SMS codes through a provider that takes 50 ms, against a bare Celery task that makes the same POST.

Each row fills the queue, starts workers and looks from 15 % to 95 % of the messages: starting and draining don't count.
The two take turns, and the medians count: on a machine that others use too, one look at each says little.
"""

import contextlib
import http.client
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from redis import Redis
from rich.console import Console
from rich.table import Table

from deploy.bench.load import Measured
from deploy.bench.provider import DELAY_SECONDS
from deploy.local.keys import new_list, public_half
from deploy.local.ports import free_port
from deploy.local.redis_server import redis_server
from deploy.local.settings import ROOT
from shared import delivery
from shared.clock import system_clock
from shared.envelope import Envelope
from shared.keys import KeyList
from shared.messages import SMS_CODES, SendSmsCode
from shared.queueing import Publisher, make_celery
from shared.secret import Secret
from tests.support import rabbitmq
from tests.support.twilio_stub import ACCOUNT_SID, AUTH_TOKEN

OURS, BARE = "services.notify.worker:celery", "deploy.bench.bare:celery"
# (processes, threads in each): few threads, the production setting, where a core is nearly full, and two processes.
ROWS = ((1, 1), (1, 4), (1, 8), (1, 16), (2, 8))
SECONDS_OF_WORK, MOST_MESSAGES = 3.0, 900
FROM, TO = 0.15, 0.95
TURNS = 3
GIVE_UP_SECONDS = 60.0
PACED_MESSAGES, PACED_PER_SECOND, PACED_THREADS = 200, 50.0, 8
_LIVES = timedelta(minutes=5)
_numbers = itertools.count(15_100_000_000)


@dataclass(frozen=True, slots=True)
class Rate:
    """How many messages a second the provider got, and the CPU that the workers spent on each."""

    per_second: float
    cpu_ms: float
    busy: float


@dataclass(frozen=True, slots=True)
class Rig:
    """A broker, a state server and a provider; ``environment`` is what the workers are told."""

    redis: Redis
    publisher: Publisher
    public_key: str
    provider_port: int
    environment: dict[str, str]

    def put(self, count: int) -> list[SendSmsCode]:
        """Seal as many messages as otp would, each to a number of its own."""
        public = KeyList.parse(self.public_key).newest
        orders = []
        pipeline = self.redis.pipeline()
        for number in itertools.islice(_numbers, count):
            now, message_id = system_clock(), f"sms_{number}"
            sealed = Envelope("acc_bench", f"+49{number}", None, "Your code is 123456", now + _LIVES).seal(public)
            delivery.queue_put(pipeline, message_id, sealed, now=now, ttl=_LIVES, account_id="acc_bench")
            orders.append(SendSmsCode(id=message_id, occurred_at=now, message_id=message_id, deadline=now + _LIVES))
        pipeline.execute()
        return orders

    def ask(self, method: str, path: str) -> Any:  # noqa: ANN401 - JSON
        """What the provider tells of the messages that it has got."""
        connection = http.client.HTTPConnection("127.0.0.1", self.provider_port, timeout=10)
        connection.request(method, path)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def arrived(self, orders: list[SendSmsCode]) -> dict[str, float]:
        """When the provider got each message that it has: message id -> monotonic seconds."""
        when = self.ask("GET", "/")
        numbers = {f"+49{order.message_id.partition('_')[2]}": order.message_id for order in orders}
        return {numbers[number]: when[number] for number in numbers.keys() & when.keys()}


def rows(table: Table, console: Console) -> None:
    """Measure on each broker and add what came of it."""
    for broker in ("redis", "rabbitmq"):
        if broker == "rabbitmq" and rabbitmq.server_script() is None:
            table.add_row("SMS workers on rabbitmq", "", "", "", "", "", rabbitmq.MISSING)
            continue
        with _rig(broker) as rig:
            alone: dict[int, float] = {}
            for processes, threads in ROWS:
                console.print(f"SMS workers on {broker}: {processes} x {threads} threads")
                bare, ours = _in_turns(rig, processes, threads)
                _add(table, f"bare task, {broker}", processes, threads, bare, "")
                against = f"CPU {ours.cpu_ms / bare.cpu_ms:.2f} x bare" if bare.cpu_ms else ""
                if processes == 1:
                    alone[threads] = ours.per_second
                elif alone.get(threads):
                    against += f", {ours.per_second / alone[threads] / processes:.0%} of {processes} x one"
                _add(table, f"SMS code, {broker}", processes, threads, ours, against)
            for what, app in (("bare task", BARE), ("SMS code", OURS)):
                late = _paced(rig, app)
                table.add_row(
                    f"{what}, {broker}: queued until the provider has it",
                    f"1x{PACED_THREADS}",
                    str(len(late.latencies_ms)),
                    f"{PACED_PER_SECOND:.0f}",
                    f"{late.percentile(0.5):.1f}",
                    f"{late.percentile(0.99):.1f}",
                    "",
                )


def _add(table: Table, what: str, processes: int, threads: int, rate: Rate, against: str) -> None:
    share = rate.per_second * DELAY_SECONDS / processes / threads
    words = f"{share:.0%} of c / 50 ms, {rate.cpu_ms:.2f} ms CPU each, {rate.busy:.0%} of a core"
    cells = (f"{processes}x{threads}", "", f"{rate.per_second:.0f}", "", "")
    table.add_row(what, *cells, "; ".join(filter(None, (words, against))))


@contextlib.contextmanager
def _rig(broker: str) -> Iterator[Rig]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latchkey-bench-")))
        state_url = stack.enter_context(redis_server(folder / "redis", free_port()))
        broker_url = stack.enter_context(rabbitmq.rabbitmq_server())[1] if broker == "rabbitmq" else state_url
        private = new_list("bench")  # no development keys, for the workers run as in production
        port = free_port()
        provider = subprocess.Popen([sys.executable, "-m", "deploy.bench.provider", str(port)], cwd=ROOT)
        stack.callback(provider.wait)
        stack.callback(provider.terminate)
        while not _listens(port):
            time.sleep(0.05)
        environment = {
            **os.environ,
            "LATCHKEY_ENV": "production",
            "STATE_REDIS_URL": state_url,
            "BROKER_URL": broker_url,
            "NOTIFY_PRIVATE_KEYS": private,
            "SMS_PROVIDERS": "twilio",
            "TWILIO_API_BASE_URL": f"http://127.0.0.1:{port}",
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_FROM": "+15005550006",
            "EMAIL_PROVIDER": "smtp",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_FROM": "bench@example.com",
        }
        publisher = Publisher(make_celery("bench", Secret(broker_url)))
        yield Rig(Redis.from_url(state_url, decode_responses=True), publisher, public_half(private), port, environment)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def _workers(rig: Rig, app: str, processes: int, threads: int) -> Iterator[list[psutil.Process]]:
    """Workers by the command line of production."""
    argv = [
        *(sys.executable, "-m", "celery", "-q", "-A", app, "worker", "-Q", SMS_CODES, "-P", "threads"),
        *("-c", str(threads), "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR"),
    ]
    started = [
        subprocess.Popen(
            [*argv, "-n", f"bench{number}@%h"],
            cwd=ROOT,
            env=rig.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(processes)
    ]
    try:
        yield [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _in_turns(rig: Rig, processes: int, threads: int) -> tuple[Rate, Rate]:
    """The medians of the bare task and of ours."""
    rates: dict[str, list[Rate]] = {BARE: [], OURS: []}
    for _ in range(TURNS):
        for app, measured in rates.items():
            measured.append(_drain(rig, app, processes, threads))
    bare, ours = (Rate(*map(statistics.median, zip(*map(astuple, of), strict=True))) for of in rates.values())
    return bare, ours


def _drain(rig: Rig, app: str, processes: int, threads: int) -> Rate:
    """Send what is queued, as fast as the workers go."""
    rig.ask("DELETE", "/")
    count = int(min(MOST_MESSAGES, max(60, processes * threads / DELAY_SECONDS * SECONDS_OF_WORK)))
    orders = rig.put(count)
    for order in orders:
        rig.publisher.publish(order)
    with _workers(rig, app, processes, threads) as workers:
        began, so_far, spent = _at(rig, workers, int(count * FROM))
        ended, at_last, spent_at_last = _at(rig, workers, int(count * TO))
        _at(rig, workers, count)
        time.sleep(0.3)  # the last ones are recorded and acknowledged
    sent, seconds = at_last - so_far, ended - began
    if not sent:
        return Rate(0.0, 0.0, 0.0)
    cpu = spent_at_last - spent
    return Rate(sent / seconds, cpu / sent * 1000, cpu / seconds)


def _at(rig: Rig, workers: list[psutil.Process], count: int) -> tuple[float, int, float]:
    """The moment at which the provider has so many: when, how many, the CPU seconds of the workers."""
    gives_up_at = time.monotonic() + GIVE_UP_SECONDS
    while True:
        have = int(rig.ask("GET", "/count"))
        now = time.monotonic()
        if have >= count or now > gives_up_at:
            times = [worker.cpu_times() for worker in workers]
            return now, have, sum(spent.user + spent.system for spent in times)
        time.sleep(0.05)


def _paced(rig: Rig, app: str) -> Measured:
    """Publish one at a time, well below what the worker can do; from the publish until the provider has it."""
    measured = Measured()
    rig.ask("DELETE", "/")
    with _workers(rig, app, 1, PACED_THREADS) as workers:
        warm = rig.put(3 * PACED_THREADS)
        for order in warm:
            rig.publisher.publish(order)
        _at(rig, workers, len(warm))
        rig.ask("DELETE", "/")
        orders = rig.put(PACED_MESSAGES)
        asked: dict[str, float] = {}
        start = time.monotonic()
        for number, order in enumerate(orders):
            time.sleep(max(0.0, start + number / PACED_PER_SECOND - time.monotonic()))
            asked[order.message_id] = time.monotonic()
            rig.publisher.publish(order)
        _at(rig, workers, len(orders))
        arrived = rig.arrived(orders)
    measured.latencies_ms += [(arrived[one] - asked[one]) * 1000 for one in arrived]
    return measured


def main() -> int:
    """``python -m deploy.bench.workers``: this part alone."""
    console = Console()
    table = Table(title=f"{os.cpu_count()} cores; compare within this run only")
    for column in ("what", "workers", "calls", "per s", "p50 ms", "p99 ms", "against"):
        table.add_column(column, justify="left" if column in {"what", "against"} else "right")
    rows(table, console)
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
