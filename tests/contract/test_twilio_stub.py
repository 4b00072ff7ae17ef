"""The stub refuses what Twilio would refuse: a client that passes against it sends what Twilio understands."""

import json
import subprocess
import sys
import time
from urllib.parse import urlencode

import pytest
import requests

from tests.support.free_port import free_port
from tests.support.twilio_stub import ACCOUNT_SID, AUTH_TOKEN, Behaviour, TwilioStub

PATH = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
FORM = {"To": "+41791234567", "Body": "Hello", "MessagingServiceSid": "MG1", "ValidityPeriod": "300"}


def post(url, *, path=PATH, form=None, auth=(ACCOUNT_SID, AUTH_TOKEN), kind="application/x-www-form-urlencoded"):
    answer = requests.post(
        url + path, data=urlencode(form or FORM), auth=auth, headers={"Content-Type": kind}, timeout=5
    )
    return answer.status_code, answer.json() if answer.text.startswith("{") else None


@pytest.fixture(scope="module")
def stub():
    with TwilioStub() as server:
        yield server


def test_a_good_request_is_taken(stub):
    status, answer = post(stub.url)
    assert (status, answer["sid"]) == (201, stub.messages[-1].sid)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": ""}, 21604),
        ({"To": "0791234567"}, 21211),
        ({"Body": ""}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"MessagingServiceSid": ""}, 21603),
        ({"From": "+15550001111"}, 21603),
        ({"ValidityPeriod": "0"}, 90007),
        ({"ValidityPeriod": "36001"}, 90007),
        ({"ValidityPeriod": "1.5"}, 90007),
        ({"StatusCallback": "portal.example/cb"}, 21609),
        ({"Colour": "blue"}, 20001),
    ],
)
def test_a_bad_form_is_refused(stub, change, code):
    before = len(stub.messages)
    status, answer = post(stub.url, form=FORM | change)
    assert (status, answer["code"]) == (400, code)
    assert len(stub.messages) == before


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"auth": (ACCOUNT_SID, "wrong")}, 401),
        ({"path": PATH.replace("AC0", "AC1")}, 401),
        ({"path": "/2010-04-01/Messages.json"}, 404),
        ({"kind": "application/json"}, 400),
    ],
)
def test_a_bad_request_is_refused(stub, how, status):
    assert post(stub.url, **how)[0] == status


def test_other_processes_read_what_arrived_and_set_what_happens():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.support.twilio_stub", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            _wait_for(url)
            requests.put(url + "/behaviour", json={"script": [{"status": 503, "code": 20503}]}, timeout=5)
            assert post(url)[0] == 503
            assert post(url)[0] == 201
            [message] = requests.get(url + "/messages", timeout=5).json()
            assert message["to"] == FORM["To"]
            assert json.loads(process.stdout.readline()) == message
        finally:
            process.terminate()


def _wait_for(url):
    for _ in range(200):
        try:
            requests.get(url + "/healthz", timeout=1)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the stub does not answer")


def test_behaviours_are_used_up_in_order(stub):
    stub.will(Behaviour(status=429, code=20429), Behaviour(status=500))
    first = post(stub.url)
    assert (first[0], first[1]["code"]) == (429, 20429)
    assert post(stub.url) == (500, None)
    assert post(stub.url)[0] == 201
