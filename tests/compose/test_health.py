import os
import subprocess
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from sqlalchemy import MetaData

from deploy.local.redis_server import redis_server
from deploy.local.settings import ROOT
from deploy.portal import wait_for
from shared import health, outbox
from shared.clock import after, system_clock
from shared.database import create_database, writing
from shared.health import OVERDUE_SECONDS
from shared.messages import RecoveryCodesRegenerated
from tests.support import signing
from tests.support.free_port import free_port

METADATA = MetaData()
BOX = outbox.outbox_tables(METADATA)


def asked(monkeypatch, check, *, clock=system_clock, **variables):
    for name, value in {"LATCHKEY_ENV": "development", **variables}.items():
        monkeypatch.setenv(name, value)
    return health.main([check], clock)


def wrong_clock():
    """A minute ahead."""
    return after(system_clock(), 60)


@pytest.fixture
def web_server():
    """A server whose ``/readyz`` answers with the status in ``answers[0]``."""
    answers = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answers[0] if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(b'{"parts": {"redis": "down"}}')

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", free_port()), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield str(server.server_port), answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_web_server_is_healthy_when_it_says_that_it_is_ready(monkeypatch, web_server):
    port, _ = web_server
    assert asked(monkeypatch, "web", WEB_PORT=port) == 0


def test_a_web_server_that_is_not_ready_says_why(monkeypatch, capsys, web_server):
    port, answers = web_server
    answers[0] = 503
    assert asked(monkeypatch, "web", WEB_PORT=port) == 1
    assert "redis" in capsys.readouterr().out


def test_no_web_server_is_not_healthy(monkeypatch):
    assert asked(monkeypatch, "web", WEB_PORT=str(free_port())) == 1


def test_a_worker_is_healthy_while_it_answers_through_the_broker(monkeypatch, capsys, tmp_path):
    with redis_server(tmp_path / "redis", free_port()) as url:
        keys = {name: signing.ENVIRONMENT[name] for name in ("OTP_SIGNING_KEYS", "AUTH_VERIFY_KEYS")}
        settings = {"REDIS_URL": url, "OTP_DATABASE_URL": f"sqlite:///{tmp_path}/otp.sqlite3"} | keys
        assert asked(monkeypatch, "worker", **settings) == 1
        assert "does not answer" in capsys.readouterr().out
        command = ["celery", "-q", "-A", "services.otp.worker:celery", "worker", "-Q", "otp.events", "-P", "threads"]
        worker = subprocess.Popen([sys.executable, "-m", *command, "-c", "1"], cwd=ROOT, env={**os.environ, **settings})
        try:
            wait_for(lambda: health.main(["worker"]) == 0, seconds=30)
            assert health.main(["worker"], wrong_clock) == 1
            assert "clock" in capsys.readouterr().out
        finally:
            worker.terminate()
            worker.wait()
    assert asked(monkeypatch, "worker", **settings) == 1
    assert "broker" in capsys.readouterr().out


@pytest.fixture
def outboxes(tmp_path):
    """Both databases, empty; the URLs by the setting that names each."""
    urls = {name: f"sqlite:///{tmp_path}/{name}.sqlite3" for name in ("AUTH_DATABASE_URL", "OTP_DATABASE_URL")}
    for url in urls.values():
        database = create_database(url)
        METADATA.create_all(database)
        database.dispose()
    return urls | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}"}


def recorded(url, *, seconds_ago, due_seconds_ago=None, publish=False, set_aside=False):
    now = system_clock()
    message = RecoveryCodesRegenerated(id="m1", occurred_at=now - timedelta(seconds=seconds_ago), account_id="acc_1")
    due = None if due_seconds_ago is None else now - timedelta(seconds=due_seconds_ago)
    database = create_database(url)
    with writing(database) as connection:
        outbox.record(connection, BOX, message, signing.SIGNERS["otp"], not_before=due)
        positions = [one.position for one in outbox.pending(connection, BOX, now, 10)]
        if publish:
            outbox.mark_published(connection, BOX, positions, now)
        if set_aside:
            outbox.set_aside(connection, BOX, positions)
    database.dispose()


LATE = OVERDUE_SECONDS + 1


@pytest.mark.parametrize("owner", ["AUTH_DATABASE_URL", "OTP_DATABASE_URL"])
@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"seconds_ago": 1}, 0),
        ({"seconds_ago": LATE}, 1),
        ({"seconds_ago": LATE, "publish": True}, 0),
        ({"seconds_ago": LATE, "set_aside": True}, 0),
        ({"seconds_ago": 9 * LATE, "due_seconds_ago": 1}, 0),
        ({"seconds_ago": 9 * LATE, "due_seconds_ago": -LATE}, 0),
        ({"seconds_ago": 9 * LATE, "due_seconds_ago": LATE}, 1),
    ],
)
def test_a_relay_is_healthy_while_nothing_that_is_due_waits_for_long(monkeypatch, outboxes, owner, facts, status):
    recorded(outboxes[owner], **facts)
    assert asked(monkeypatch, "relay", **outboxes) == status


def test_a_relay_whose_clock_is_wrong_is_not_healthy(monkeypatch, capsys, outboxes, tmp_path):
    with redis_server(tmp_path / "redis", free_port()) as url:
        assert asked(monkeypatch, "relay", **outboxes | {"REDIS_URL": url}) == 0
        assert asked(monkeypatch, "relay", clock=wrong_clock) == 1
    assert "clock" in capsys.readouterr().out


def test_a_relay_without_its_tables_is_not_healthy(monkeypatch, outboxes, tmp_path):
    assert asked(monkeypatch, "relay", **outboxes | {"OTP_DATABASE_URL": f"sqlite:///{tmp_path}/none"}) == 1


def test_what_is_not_set_is_named(monkeypatch, capsys):
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert asked(monkeypatch, "worker") == 2
    assert "REDIS_URL" in capsys.readouterr().err
