"""Metrics for Prometheus, on a port of their own.

On the port of the API, a proxy's path rule would have to keep them inside. A path has more spellings than such a rule
knows: ``//metrics``, ``/%6detrics``.
"""

import socket
import threading
import time
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from shared.settings import Environment

HIGHEST_PORT = 65535
CLIENT_SECONDS = 2.0  # so long a scraper may be silent
RETRY_SECONDS = 1.0

log = structlog.get_logger("metrics")


@dataclass(frozen=True, slots=True)
class MetricsPort:
    """Where a process shows its metrics."""

    host: str
    port: int


def from_environment(env: Environment) -> MetricsPort | None:
    """Read ``METRICS_PORT`` and ``METRICS_HOST``; None without a port, and then nothing is shown."""
    host = env.text("METRICS_HOST", "127.0.0.1")
    if env.optional("METRICS_PORT") is None:
        return None
    port = env.integer("METRICS_PORT", minimum=1)
    if port > HIGHEST_PORT:
        env.fault(f"METRICS_PORT must be at most {HIGHEST_PORT}")
    return MetricsPort(host, port)


def serve(registry: CollectorRegistry, where: MetricsPort, *, retry_seconds: float = RETRY_SECONDS) -> None:
    """Show the metrics from a thread of this process, for as long as it lives. Call it in the process that serves.

    While the port is taken, the thread tries again: a process that is renewed lives beside its predecessor for a while.
    """
    threading.Thread(target=_serve, args=(registry, where, retry_seconds), name="metrics", daemon=True).start()


def _serve(registry: CollectorRegistry, where: MetricsPort, retry_seconds: float) -> None:
    app, told = make_wsgi_app(registry), False
    kind = _Server6 if ":" in where.host else _Server
    while True:
        try:
            server = make_server(where.host, where.port, app, kind, handler_class=_Handler)
        except OSError as error:
            if not told:
                log.warning("metrics are not shown yet", port=where.port, cause=error.strerror or type(error).__name__)
                told = True
            time.sleep(retry_seconds)
        else:
            server.serve_forever()


class _Server(WSGIServer):
    """One scrape at a time: in one thread, which has one connection to each store."""

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the parent has it
        """Say nothing of a client that went away or was silent."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - as the parent has it
        """Write no access log."""
