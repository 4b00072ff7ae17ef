"""Enrollments confirmed on a host that is busy with something else: backup codes must not wait for their hashes."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

from deploy.bench.load import Measured
from deploy.bench.pool import PASSWORD, Pooled
from deploy.local.stack import Stack
from deploy.portal import AuthenticatorApp, Portal

PROCESSES = 16


@contextlib.contextmanager
def busy_host(processes: int = PROCESSES) -> Iterator[None]:
    """Keep all cores occupied for the length of the block."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def confirmations(stack: Stack, people: list[Pooled]) -> Measured:
    """Enroll accounts without 2FA one after the other; only the confirmations are timed."""
    measured = Measured()
    portals = [Portal(stack.base_url, ip=person.ip) for person in people]
    for person, portal in zip(people, portals, strict=True):
        portal.log_in(person.email, PASSWORD)
    with busy_host():
        for portal in portals:
            begun = portal.post("/v1/two-factor/enrollment").body
            path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
            code = AuthenticatorApp(begun["secret"]).before()
            started = time.monotonic()
            status = portal.post(path, {"code": code}).status
            measured.latencies_ms.append((time.monotonic() - started) * 1000)
            measured.wall_seconds += time.monotonic() - started
            if status != 200:
                measured.unexpected[status] = measured.unexpected.get(status, 0) + 1
    return measured
