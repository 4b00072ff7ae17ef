"""A worker of the tests' own as a process, started as deploy/ starts ours."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.local.settings import ROOT


@contextlib.contextmanager
def worker_process(
    app: str, name: str, log: Path, queues: str, threads: int, environment: dict[str, str]
) -> Iterator[subprocess.Popen]:
    """Of the Celery app at ``app`` ("module:name"). It may not have connected yet when this returns."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "deploy.local.worker", app),
                *("--name", name, "--queues", queues, "--threads", str(threads)),
            ],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
