"""``python -m shared.serving APP --host H --port P --threads T``: granian, with whole requests (whole_requests.py).

granian's WSGI interface takes a request thread when the head of a request is there, and the thread waits for the body:
eight connections with half a body stop a gateway with eight threads. Its RSGI interface takes none. So we start its
RSGI worker, and give it no event loop but ``Directly``. What is called here of granian is not documented, and
tests/contract/test_serving.py says what it must do.
"""

import argparse
import contextlib
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from granian import Granian
from granian._granian import CallbackScheduler, RSGIWorker, SocketHolder
from granian._signals import set_sync_signals
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.common import WORKERS_METHODS
from granian.server.mp import WorkerProcess

from shared.whole_requests import Arrivals, Directly

# From the connection, or from the end of the last answer, to the end of the next head; so this also ends a connection
# that nobody uses.
HEAD_SECONDS = 5.0
HEAD_BYTES = 32 * 1024
# The kernel ends a connection whose client has taken nothing of its answer for so long.
UNREAD_SECONDS = 6.0
# The send buffer of a connection. Linux doubles it (socket(7)), so the kernel holds up to 128 KiB of an unread answer.
# With the kernel's own limit, 4 MiB, 500 clients that requested a file and read nothing delayed codes by half a second.
UNREAD_BYTES = 64 * 1024
# Slow connections cost a descriptor and some 20 KiB each. Beyond this number new ones wait in the kernel.
CONNECTIONS = 4096
WAITING_CONNECTIONS = 1024
_DESCRIPTORS_BESIDES = 512
# A warm thread for as long as possible: a new one opens its own database connection.
IDLE_THREAD_SECONDS = 600
# Longer than a half-sent head may take; a request that is being served ends in three seconds.
STOP_SECONDS = 6
# On SIGHUP a new process is started, and so long after it the old one ends, whether the new one listens or not. Loading
# takes two seconds on a quiet machine; granian's own 3.5 s were too short for a busy one, and callers were turned away.
RENEWAL_SECONDS = 10.0


def serve(app: str, *, host: str, port: int, threads: int, load: Callable[[str], Any] | None = None) -> None:
    """Serve until a signal says stop. Raises SystemExit when the child ends by itself: 78 for settings, else 1.

    ``load`` makes the app of its name, in the child: the parent loads nothing of it.
    """
    _allow_descriptors(CONNECTIONS + _DESCRIPTORS_BESIDES)
    # One process, a few threads: two hops of Python share two cores, and SQLite has one writer anyway. A worker that
    # dies takes its parent with it, so that one supervisor restarts everything in one way.
    server = _Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.WSGI,  # granian refuses several threads with RSGI
        workers=1,
        blocking_threads=threads,
        blocking_threads_idle_timeout=IDLE_THREAD_SECONDS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=int(HEAD_SECONDS * 1000), max_buffer_size=HEAD_BYTES),
        websockets=False,
        backlog=WAITING_CONNECTIONS,
        backpressure=CONNECTIONS,
        workers_kill_timeout=STOP_SECONDS,
        respawn_interval=RENEWAL_SECONDS,
        log_level=LogLevels.warning,
    )
    try:
        server.serve(spawn_target=_worker, target_loader=load)
    except SystemExit:
        if os.EX_CONFIG in server.child_statuses:
            sys.exit(os.EX_CONFIG)  # a supervisor need not try again (shared/settings.py)
        raise


class _Server(Granian):  # type: ignore[misc, valid-type]  # one of two classes, chosen at import
    """Remembers how its children ended; granian exits with 1 whatever their status was."""

    child_statuses: frozenset[int | None] = frozenset()

    def _stop_workers(self) -> None:
        self.child_statuses = frozenset(worker.inner.exitcode for worker in self.wrks)
        super()._stop_workers()


@WorkerProcess.wrap_target  # type: ignore[untyped-decorator]  # as all of these are
def _worker(
    worker_id: int,
    app: Any,  # noqa: ANN401 - a WSGI app
    sock: Any,  # noqa: ANN401 - granian's
    ipc: Any,  # noqa: ANN401 - granian's
    loop: Any,  # noqa: ANN401 - granian's, which we have no use for
    *settings: Any,  # noqa: ANN401 - granian's
) -> None:
    """Serve in the child process, as granian's own workers do."""
    loop.close()
    (
        runtime_mode,
        runtime_threads,
        runtime_blocking_threads,
        threads,
        threads_idle_timeout,
        backpressure,
        _task_impl,
        http_mode,
        http1_settings,
        http2_settings,
        websockets,
        static_path,
        _access_log,
        ssl,
        _scope,
        metrics,
    ) = settings
    stopped = threading.Event()
    signal = set_sync_signals()  # type: ignore[no-untyped-call]
    signal.add_cb(stopped.set)
    listener = _listener(sock)
    worker = RSGIWorker(  # type: ignore[call-arg]
        worker_id,
        listener,
        ipc,
        runtime_threads,
        runtime_blocking_threads,
        threads,
        threads_idle_timeout,
        backpressure,
        http_mode,
        http1_settings,
        http2_settings,
        websockets,
        static_path,
        *ssl,
        metrics,
    )
    directly = Directly()
    scheduler = CallbackScheduler(directly, None, None, None, None)  # type: ignore[call-arg]
    scheduler._schedule_fn = Arrivals(app)  # type: ignore[attr-defined]  # noqa: SLF001 - the only way to set it
    getattr(worker, WORKERS_METHODS[runtime_mode][False])(scheduler, directly, signal)
    stopped.wait()


def _listener(sock: Any) -> Any:  # noqa: ANN401 - granian's pair of what to listen on and what listens
    """The same with a limit on unread answers, where the system has one: what is accepted has it too."""
    spec, _holder = sock
    if spec is None or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return sock
    host, port, backlog = spec.__getstate__()
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # on SIGHUP the new process listens beside the old
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_SECONDS * 1000))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
    listener.bind((host, port))
    return None, SocketHolder(listener.detach(), False, backlog)  # type: ignore[call-arg]  # noqa: FBT003 - no keyword


def _allow_descriptors(wanted: int) -> None:
    """Raise this process's limit of open descriptors, where it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def main(load: Callable[[str], Any] | None = None) -> None:
    """Read the command line and serve; without ``--port`` the setting WEB_PORT counts."""
    parser = argparse.ArgumentParser(prog="shared.serving")
    parser.add_argument("app")
    parser.add_argument("--host", default="127.0.0.1")
    # Not by shared.settings: the parent stays for good and loads as little as it can (tests/unit/deploy/test_lean.py).
    parser.add_argument("--port", type=int, default=os.environ.get("WEB_PORT", "8080"))
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    serve(options.app, host=options.host, port=options.port, threads=options.threads, load=load)


if __name__ == "__main__":
    main()
