"""What the benchmark of the SMS workers needs: a broker, a state server, a provider, and workers to compare."""

import contextlib
import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from deploy.local.keys import new_list, public_half, public_list
from deploy.local.ports import free_port
from deploy.local.redis_server import redis_server
from deploy.local.settings import ROOT
from shared import delivery
from shared.clock import system_clock
from shared.envelope import Envelope
from shared.keys import KeyList
from shared.messages import KEPT_FOR, OTP, SMS_CODES, SendSmsCode, encode
from shared.queueing import Publisher, make_celery
from shared.sealed_text import SealedText
from shared.secret import Secret
from shared.signing import Signer
from tests.support import rabbitmq
from tests.support.twilio_stub import ACCOUNT_SID, AUTH_TOKEN

OURS, BARE = "services.notify.worker:celery", "deploy.bench.bare:celery"
THREADS = "threads"
_LIVES = timedelta(minutes=5)
_numbers = itertools.count(15_100_000_000)


@dataclass(frozen=True, slots=True)
class Contestant:
    """An app, and the pool of its workers."""

    app: str
    pool: str = THREADS


@dataclass(frozen=True, slots=True)
class Rig:
    """A broker, a state server and a provider; ``environment`` is what the workers are told."""

    redis: Redis
    publisher: Publisher
    public_key: str
    signer: Signer
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
            text = SealedText.sign(self.signer, message_id, sealed, now + _LIVES)
            delivery.queue_put(pipeline, message_id, text, now=now, ttl=_LIVES, account_id="acc_bench")
            orders.append(SendSmsCode(id=message_id, occurred_at=now, message_id=message_id, deadline=now + _LIVES))
        pipeline.execute()
        return orders

    def ring(self, order: SendSmsCode) -> None:
        """Publish the order to send a code, as auth does."""
        self.publisher.publish_to(SMS_CODES, encode(order), kept_for=KEPT_FOR[SendSmsCode])

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


@contextlib.contextmanager
def rig_on(broker: str) -> Iterator[Rig]:
    """A rig on a broker of that kind, redis or rabbitmq."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latchkey-bench-")))
        state_url = stack.enter_context(redis_server(folder / "redis", free_port()))
        broker_url = stack.enter_context(rabbitmq.rabbitmq_server())[1] if broker == "rabbitmq" else state_url
        # No development keys, because the workers run as in production.
        private, signing_keys, others_keys = (new_list("bench") for _ in range(3))
        signer = Signer(OTP, KeyList.parse(signing_keys))
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
            "NOTIFY_SIGNING_KEYS": others_keys,
            "AUTH_VERIFY_KEYS": public_list(others_keys),
            "OTP_VERIFY_KEYS": public_list(signing_keys),
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
        redis = Redis.from_url(state_url, decode_responses=True)
        yield Rig(redis, publisher, public_half(private), signer, port, environment)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def workers_of(rig: Rig, of: Contestant, processes: int, threads: int) -> Iterator[list[psutil.Process]]:
    """Workers by the command line of production."""
    argv = [
        *(sys.executable, "-m", "celery", "-q", "-A", of.app, "worker", "-Q", SMS_CODES, "-P", of.pool),
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
