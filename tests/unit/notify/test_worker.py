"""The composition root, in a process of its own: what it loads, and how it refuses to start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.brokers import RESTORE_EVERY_SECONDS, VISIBILITY_TIMEOUT_SECONDS
from shared.messages import QUEUES
from shared.queueing import make_celery
from shared.secret import Secret
from tests.unit.notify.test_settings import BASE, HTTP, SMTP, WHOLE

SHOW = """
import sys
from services.notify.worker import celery
print(sorted(name for name in celery.tasks if name.startswith("notify.")))
print(sorted({"twilio", "requests", "standardwebhooks"} & set(sys.modules)))
"""


LATE_CODES = """
from services.notify.tasks import settle
from services.notify.worker import celery
print(celery.conf.worker_consumer.keywords["settle"].func is settle)
"""


def start(variables, script=SHOW):
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **variables}
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("variables", "loaded"),
    [
        (WHOLE, ["requests", "twilio"]),
        (WHOLE | HTTP | {"SMS_PROVIDERS": "http"}, ["requests", "standardwebhooks"]),
        (WHOLE | HTTP | {"SMS_PROVIDERS": "http,twilio"}, ["requests", "standardwebhooks", "twilio"]),
        (BASE | {"LATCHKEY_ENV": "development"}, []),
    ],
)
def test_only_the_chosen_provider_is_loaded(variables, loaded):
    tasks, modules = start(variables).stdout.splitlines()
    assert tasks == str(sorted(name for name in QUEUES.values() if name.startswith("notify.")))
    assert modules == str(loaded)


def test_late_codes_are_settled_before_they_are_tasks():
    """Every other test would pass without it: their tasks close them, at half the pace."""
    assert start(BASE | {"LATCHKEY_ENV": "development"}, LATE_CODES).stdout == "True\n"


def test_a_missing_setting_is_a_sentence_not_a_traceback():
    refused = start(BASE | SMTP)
    assert refused.returncode != 0
    assert "SMS_PROVIDERS is not set" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_task_of_a_killed_worker_comes_back_within_thirty_seconds():
    # kombu looks every `interval` × `throttle` seconds; its own defaults make that 100.
    options = make_celery("test", Secret("redis://127.0.0.1/0")).conf.broker_transport_options
    looks_every = options["unacked_restore_interval"] * options["unacked_restore_throttle"]
    assert options["visibility_timeout"] == VISIBILITY_TIMEOUT_SECONDS
    assert VISIBILITY_TIMEOUT_SECONDS + looks_every < 30
    assert options["unacked_mutex_expire"] <= RESTORE_EVERY_SECONDS


def test_every_queue_has_a_routing_key_of_its_own():
    queues = make_celery("test", Secret("redis://127.0.0.1/0")).amqp.queues
    assert {queue.routing_key for queue in queues.values()} == set(QUEUES)
