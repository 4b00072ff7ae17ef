"""A stopped otp reads what waits for it when it goes on. Its callers have given up by then, so it changes nothing."""

import json
import os
import sqlite3
import time
import urllib.request
from contextlib import closing
from http.client import HTTPConnection
from types import SimpleNamespace

import pytest

from deploy.local.programs import web_argv
from deploy.local.settings import ROOT
from deploy.portal import AuthenticatorApp, wait_for
from services.auth.otp_client import OtpClient
from shared.clock import unix_milliseconds
from shared.clock_check import ServerClock
from shared.deadline import GIVES_UP_AT_HEADER, TIME_LEFT_HEADER
from shared.keys import Key, encode_key
from shared.problems import Unavailable
from shared.redis_client import connect
from shared.secret import Secret
from tests.support.auth import ENVIRONMENT as AUTH_ENVIRONMENT
from tests.support.free_port import free_port
from tests.support.migrated import migrated
from tests.support.otp import ACCOUNT, API_KEY, ENVIRONMENT
from tests.support.server import Server

SESSION = "ses_1"


@pytest.fixture
def otp(running, tmp_path):
    """otp in a process of its own, as stacks run it, and the gateway's client."""
    port, file = free_port(), migrated("otp", tmp_path)
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "PYTHONPATH": str(ROOT),
        "OTP_DATABASE_URL": f"sqlite:///{file}",
        "REDIS_URL": running[1],
        "NOTIFY_PUBLIC_KEY": AUTH_ENVIRONMENT["NOTIFY_PUBLIC_KEY"],
    }
    url = f"http://127.0.0.1:{port}"
    server = Server(
        "otp",
        web_argv("services.otp.wsgi:app", 4, "127.0.0.1", port),
        answers=lambda: _health(url) == 200,
        log=tmp_path / "otp.log",
        environment=environment,
        start_seconds=90,
    )
    server.start()
    redis = connect(Secret(running[1]))
    client = OtpClient(url, Key("new", Secret(API_KEY)), ServerClock(redis))
    yield SimpleNamespace(
        server=server, file=file, client=client, clock=ServerClock(redis), port=port, health=lambda: _health(url)
    )
    client.close()
    redis.close()
    server.stop()


def _health(url):
    try:
        return urllib.request.urlopen(f"{url}/healthz", timeout=5).status  # noqa: S310 - http
    except OSError:
        return None


def test_a_call_that_waited_unread_while_its_caller_gave_up_is_not_carried_out(otp):
    """The connection stays open here: a server that sees it closed may drop the call anyway."""
    body = json.dumps({"label": "ann", "session_id": SESSION})
    headers = {"Authorization": f"Bearer {encode_key(API_KEY)}", "Content-Type": "application/json"}
    with closing(HTTPConnection("127.0.0.1", otp.port, timeout=30)) as caller:
        otp.server.pause()
        gives_up_at = str(unix_milliseconds(otp.clock()) + 2200)
        times = {TIME_LEFT_HEADER: "2200", GIVES_UP_AT_HEADER: gives_up_at}
        caller.request("POST", f"/accounts/{ACCOUNT}/enrollments", body, headers | times)
        time.sleep(2.7)
        otp.server.resume()
        late = caller.getresponse()
        assert (late.status, json.load(late).get("part")) == (503, "deadline")
    with closing(sqlite3.connect(otp.file)) as connection:
        assert connection.execute("SELECT count(*) FROM authenticators").fetchone() == (0,)


def test_a_call_of_the_gateway_that_gave_up_on_a_stopped_otp_is_done_by_its_repeat_alone(otp):
    begun = otp.client.begin_enrollment(ACCOUNT, "ann", SESSION)
    app = AuthenticatorApp(begun["secret"])
    otp.server.pause()
    with pytest.raises(Unavailable):
        otp.client.confirm_enrollment(ACCOUNT, begun["enrollment_id"], app.near(0), SESSION)
    time.sleep(0.5)
    otp.server.resume()
    wait_for(lambda: otp.health() == 200)
    time.sleep(1.0)  # longer than a confirm takes
    assert otp.client.state(ACCOUNT).enabled is False
    assert len(otp.client.confirm_enrollment(ACCOUNT, begun["enrollment_id"], app.near(0), SESSION)) == 10
