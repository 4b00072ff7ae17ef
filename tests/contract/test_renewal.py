"""What we rely on in the web server: SIGHUP renews it, and nobody is turned away, however long the new one loads."""

import os
import signal
import subprocess
import time

import pytest
import urllib3

from deploy.local.ports import free_port
from deploy.local.programs import web_argv
from deploy.local.settings import ROOT

LOADS_FOR_SECONDS = 5.0
GIVE_UP_SECONDS = 60.0


def answering(url: str, until) -> list[str]:
    """Ask, each time over a new connection, until the answer is right; all answers. Raises HTTPError when cut."""
    answers: list[str] = []
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not answers or not until(answers[-1]):
        assert time.monotonic() < deadline, answers[-1:]
        headers = {"Connection": "close"}
        answers.append(urllib3.request("GET", url, headers=headers, retries=False, timeout=5.0).data.decode())
        time.sleep(0.02)
    return answers


@pytest.fixture
def server():
    port = free_port()
    environment = {**os.environ, "SLOW_TO_LOAD_SECONDS": str(LOADS_FOR_SECONDS)}
    argv = web_argv("tests.support.slow_to_load:app", 4, "127.0.0.1", port)
    with subprocess.Popen(argv, cwd=ROOT, env=environment) as process:
        url = f"http://127.0.0.1:{port}/"
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            try:
                urllib3.request("GET", url, retries=False)
                break
            except urllib3.exceptions.HTTPError:
                time.sleep(0.1)
        yield process, url
        process.terminate()


def test_a_renewal_turns_nobody_away_though_the_new_process_loads_slowly(server):
    process, url = server
    before = answering(url, until=bool)[-1]
    process.send_signal(signal.SIGHUP)
    both_serve = answering(url, until=lambda answer: answer != before)
    # Until the old one has ended: then a row of answers is the new one's alone.
    new = both_serve[-1]
    for _ in range(100):
        answering(url, until=lambda answer: answer == new)
    assert set(both_serve) == {before, new}
