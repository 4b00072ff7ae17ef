"""What providers do to us, over real sockets: each fault, at either provider, with the other one well."""

import threading
import time
from dataclasses import dataclass, replace
from datetime import timedelta

import fakeredis
import pytest

from services.notify.delivery import deliver
from services.notify.domain.health import BAD_SENDS
from services.notify.domain.retries import DONE, Again
from services.notify.providers import transport
from services.notify.providers.http import HttpSms
from services.notify.providers.twilio import TwilioSms
from services.notify.settings import HttpSmsSettings, TwilioSettings
from shared.clock import system_clock
from shared.keys import Key, KeyList
from shared.secret import Secret
from tests.support.http_stub import KEY, HttpStub
from tests.support.twilio_stub import ACCOUNT_SID, AUTH_TOKEN, Behaviour, TwilioStub
from tests.unit.notify.courier import START, Courier

READ_SECONDS = 0.4
SLOW = Behaviour(delay=30.0)
RESET = Behaviour(reset="after")
ERROR = Behaviour(status=500)


class RunningClock:
    """Runs, and can be turned besides."""

    def __init__(self):
        self.began, self.turned = time.monotonic(), 0.0

    def __call__(self):
        return START + timedelta(seconds=time.monotonic() - self.began + self.turned)

    def turn(self, seconds):
        self.turned += seconds


@dataclass
class Pair:
    """A courier with two real clients, and the servers that they talk to."""

    courier: Courier
    first: TwilioStub
    second: TwilioStub

    def send(self, message_id="msg_1"):
        assert self.courier.run(deliver, self.courier.code(message_id)) == DONE
        return self.courier.status(message_id)

    def sent(self):
        return len(self.first.messages), len(self.second.messages)


@pytest.fixture
def stubs():
    with TwilioStub() as twilio, HttpStub() as http:
        yield {"twilio": twilio, "http": http}
        assert twilio.faults == http.faults == []


@pytest.fixture
def pair(stubs, monkeypatch):
    monkeypatch.setattr(transport, "TIMEOUT_SECONDS", (1.0, READ_SECONDS))
    account = TwilioSettings(ACCOUNT_SID, Secret(AUTH_TOKEN), "MG" + "1" * 32, None, stubs["twilio"].url, None)
    gateway = HttpSmsSettings(stubs["http"].sms_url, KeyList((Key("k1", Secret(KEY)),)))

    def make(first, second):
        clients = {
            "twilio": TwilioSms(account, fakeredis.FakeStrictRedis(decode_responses=True)),
            "http": HttpSms(gateway, system_clock),
        }
        courier = with_clock(Courier(clients[first], clients[second]), RunningClock())
        return Pair(courier, stubs[first], stubs[second])

    return make


def with_clock(courier, clock):
    courier.clock = clock
    courier.deps = replace(courier.deps, clock=clock, sms=replace(courier.deps.sms, clock=clock))
    return courier


SENT, DOUBTFUL = ("sent", None), ("sent", "provider_down")


@pytest.mark.parametrize(
    ("fault", "status", "sent"),
    [
        (SLOW, DOUBTFUL, (1, 0)),
        (Behaviour(status=429, code=20429), SENT, (0, 1)),
        (Behaviour(status=503, code=20503), SENT, (0, 1)),
        (Behaviour(status=401, code=20003), SENT, (0, 1)),
        (ERROR, DOUBTFUL, (0, 0)),
        (RESET, DOUBTFUL, (1, 0)),
        (Behaviour(status=400, code=21614), ("failed", "landline"), (0, 0)),
    ],
)
def test_a_fault_of_twilio(pair, fault, status, sent):
    both = pair("twilio", "http")
    both.first.will(fault)
    assert both.send() == status
    assert both.sent() == sent
    assert both.first.requests == 1


@pytest.mark.parametrize(
    ("fault", "status", "sent", "requests"),
    [
        (SLOW, SENT, (1, 0), 2),
        (Behaviour(status=429), SENT, (0, 1), 1),
        (Behaviour(status=503), SENT, (0, 1), 1),
        (Behaviour(status=401), SENT, (0, 1), 1),
        (ERROR, SENT, (1, 0), 2),
        (RESET, SENT, (1, 0), 2),
        (Behaviour(status=422), ("failed", "landline"), (0, 0), 1),
    ],
)
def test_a_fault_of_the_gateway(pair, fault, status, sent, requests):
    both = pair("http", "twilio")
    both.first.will(fault)
    assert both.send() == status
    assert both.sent() == sent
    assert both.first.requests == requests


@pytest.mark.parametrize("order", [("twilio", "http"), ("http", "twilio")])
def test_a_provider_that_is_down_for_a_minute_costs_no_code_and_gets_them_again_afterwards(pair, order):
    both = pair(*order)
    assert both.send("msg_before") == SENT
    both.first.go_down()
    for second in range(0, 60, 5):
        assert both.send(f"msg_{second}") in {SENT, DOUBTFUL}
        both.courier.clock.turn(5)
    lost = [number for number in range(0, 60, 5) if both.courier.status(f"msg_{number}") == DOUBTFUL]
    # A kept connection that the server closed may have taken the first one.
    assert len(lost) <= 1
    assert len(both.second.messages) == 12 - len(lost)
    both.first.come_back()
    both.courier.clock.turn(120)
    for number in range(5):
        assert both.send(f"msg_after_{number}") == SENT
    assert both.sent() == (6, 12 - len(lost))


@pytest.mark.parametrize("order", [("twilio", "http"), ("http", "twilio")])
def test_a_slow_provider_holds_up_few_codes(pair, order):
    """However many are sent: once it is known to be slow, the others go elsewhere at once."""
    both = pair(*order)
    both.first.default = SLOW
    codes = [both.courier.code(f"msg_{number}") for number in range(12)]
    outcomes = [deliver(both.courier.deps, code) for code in codes]
    assert both.first.requests == BAD_SENDS
    assert outcomes[BAD_SENDS:] == [DONE] * (12 - BAD_SENDS)
    assert len(both.second.messages) == 12 - BAD_SENDS


@pytest.mark.parametrize("order", [("twilio", "http"), ("http", "twilio")])
def test_the_same_task_three_times_at_once_is_one_sms(pair, order):
    both = pair(*order)
    both.first.default = Behaviour(delay=0.1)
    code, start = both.courier.code(), threading.Barrier(3)

    def work():
        start.wait()
        while isinstance(deliver(both.courier.deps, code), Again):
            time.sleep(0.1)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert both.sent() == (1, 0)


def test_a_task_after_its_deadline_is_not_sent_and_reported_expired(pair):
    both = pair("twilio", "http")
    code = both.courier.code(life=30)
    both.courier.clock.turn(30)
    assert deliver(both.courier.deps, code) == DONE
    assert (both.first.requests, both.second.requests) == (0, 0)
    assert both.courier.told() == [("expired", "too_late")]
