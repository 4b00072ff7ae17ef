"""The two servers of the floor, with the command lines of the real ones."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator

import urllib3

from deploy.local.ports import free_port
from deploy.local.programs import web_argv
from deploy.local.settings import ROOT


@contextlib.contextmanager
def floor_servers() -> Iterator[str]:
    """Start both; the URL of the outer one."""
    port = free_port(2)
    environment = {**os.environ, "BENCH_FLOOR_UPSTREAM": f"http://127.0.0.1:{port + 1}"}
    processes = [
        subprocess.Popen(web_argv(app, threads, "127.0.0.1", where), cwd=ROOT, env=environment)
        for app, threads, where in (
            ("deploy.bench.floor:gateway", 8, port),
            ("deploy.bench.floor:verifier", 4, port + 1),
        )
    ]
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if urllib3.request("POST", f"{url}/nothing", body=b"{}", retries=False).status == 200:
                    break
            time.sleep(0.05)
        yield url
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(10)
