"""`python -m deploy.local.announce`: wait until every part answers, then print what to open.

The supervisor runs it once at each start. It asks the broker as the operator.
"""

import http.client
import os
import socket
import sys
import time
import xmlrpc.client  # nosec B411  # to our own supervisor, over a socket that is ours alone
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from celery import Celery
from celery.exceptions import OperationalError

from deploy.local.control import GAVE_UP, RUNNING, Control
from deploy.local.demo_data import DemoData, read_demo
from deploy.local.files import write_private
from deploy.local.programs import Program, Ready, programs_of
from deploy.local.settings import LocalSettings
from deploy.portal import pages_of
from shared.brokers import control_exchange

READY_SECONDS = 60.0
_HTTP_SECONDS = 5.0
_TAIL_LINES = 15


def main() -> int:
    """Announce the stack, or say which part isn't ready; 0 when it is."""
    settings = LocalSettings.from_env()
    programs = programs_of(settings)
    missing = wait_until_ready(settings, programs, READY_SECONDS)
    if missing:
        print(failure_text(settings, missing), flush=True)
        return 1
    demo = read_demo(settings.demo_file)
    print(ready_text(demo, settings.var_dir, served_at(demo.base_url)), flush=True)
    # Written last: who waits for it may rely on everything above.
    write_private(settings.ready_file, settings.base_url + "\n")
    return 0


def wait_until_ready(settings: LocalSettings, programs: Sequence[Program], seconds: float) -> list[Program]:
    """Ask the parts until all have answered; the ones that haven't when the time is over, or one is given up on."""
    deadline = time.monotonic() + seconds
    control = Control(settings.conf_file)
    waiting = list(programs)
    while True:
        states = _states(control)
        waiting = _not_ready(settings, waiting, states)
        # An answer is enough only while everything still runs: what answered a moment ago may have died since.
        stopped = [program for program in programs if states.get(program.name) != RUNNING]
        if not waiting and not stopped:
            return []
        given_up = [program for program in programs if states.get(program.name) == GAVE_UP]
        if given_up or time.monotonic() > deadline:
            return given_up or waiting or stopped
        time.sleep(0.2)


def _not_ready(settings: LocalSettings, waiting: Sequence[Program], states: dict[str, str]) -> list[Program]:
    nodes: set[str] | None = None
    left = []
    for program in waiting:
        if program.ready is Ready.HTTP and program.ready_url is not None:
            ready = answers_200(program.ready_url(settings))
        elif program.ready is Ready.WORKER:
            nodes = _answering_workers(settings, waiting) if nodes is None else nodes
            ready = program.name in nodes
        else:
            ready = states.get(program.name) == RUNNING
        if not ready:
            left.append(program)
    return left


def answers_200(url: str) -> bool:
    """Whether a GET of `url` is answered with 200. An open port is not enough: a server listens before it can serve."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_HTTP_SECONDS)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Served:
    """What a gateway serves besides the API: PORTAL=off leaves out its pages, API_DOCS=off its reference."""

    portal: bool
    reference: bool

    def lines(self, base_url: str) -> list[str]:
        """What a person opens, each with its name."""
        pages = pages_of(base_url)
        return [
            *([f"  Portal       {pages}/"] if self.portal else []),
            f"  API          {base_url}/v1",
            *([f"  Reference    {pages}/docs"] if self.reference else []),
            f"  SMS, email   {pages}/dev/inbox{'' if self.portal else '.json'}",
        ]


def served_at(base_url: str) -> Served:
    """Ask the gateway."""
    pages = pages_of(base_url)
    return Served(portal=answers_200(f"{pages}/login"), reference=answers_200(f"{pages}/docs/"))


def _answering_workers(settings: LocalSettings, programs: Sequence[Program]) -> set[str]:
    """The workers among these programs that answer a ping; each has a ping exchange of its own user."""
    workers: dict[str, list[str]] = {}
    for program in programs:
        if program.ready is Ready.WORKER:
            exchange = control_exchange(settings.broker_url_as(program.service))
            workers.setdefault(exchange, []).append(program.name)
    asked = (_answering(settings.broker_url, exchange, names) for exchange, names in workers.items())
    return set().union(*asked)


def _answering(broker_url: str, exchange: str, workers: Sequence[str]) -> set[str]:
    """Which of these workers of this machine answer a ping; at once when all do, else after a second."""
    suffix = f"@{socket.gethostname()}"
    nodes = [worker + suffix for worker in workers]
    app = Celery(broker=broker_url, set_as_current=False)
    app.conf.control_exchange = exchange
    try:
        replies = app.control.broadcast("ping", destination=nodes, reply=True, timeout=1.0, limit=len(nodes)) or []
    except (OSError, OperationalError):
        return set()
    finally:
        app.close()
    return {node.removesuffix(suffix) for reply in replies for node in reply}


def _states(control: Control) -> dict[str, str]:
    return _or_empty(control.states)


def _or_empty(ask: Callable[[], dict[str, str]]) -> dict[str, str]:
    try:
        return ask()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return {}


def ready_text(demo: DemoData, var_dir: Path, served: Served) -> str:
    """What a person does next."""
    width = max((len(account.email) for account in demo.accounts), default=0)
    lines = [
        "",
        "Latchkey is running. Ctrl-C stops it; the next `make run` finds its data again.",
        "",
        *served.lines(demo.base_url),
        "",
        "  Accounts (also in " + _short(var_dir / "demo.json") + ", for scripts)",
    ]
    for account in demo.accounts:
        secret = f"  TOTP key {account.totp_secret}" if account.totp_secret else ""
        lines.append(f"    {account.email:<{width}}  {account.role:<8} {account.password}{secret}")
    lines += ["", "  The whole story, played against this stack: `make demo` in another terminal.", ""]
    return "\n".join(lines)


def failure_text(settings: LocalSettings, missing: Sequence[Program]) -> str:
    """Which parts aren't ready, and the last lines that each wrote."""
    lines = [f"latchkey: not ready: {', '.join(program.name for program in missing)}. What runs keeps running."]
    for program in missing:
        path = settings.log_dir / f"{program.name}.log"
        lines += ["", f"--- the end of {_short(path)}", *_tail(path)]
    return "\n".join(lines)


def _tail(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:] or ["(empty)"]
    except OSError:
        return ["(nothing written)"]


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


if __name__ == "__main__":
    sys.exit(main())
