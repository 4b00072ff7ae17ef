"""PostgreSQL: connections that give up on a server that keeps silent, where libpq would wait for ever."""

import time
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Dialect

POOL_WAIT_SECONDS = 2
STATEMENT_MILLISECONDS, ANSWER_SECONDS = 1500, 1.7  # the server's own limit comes first
# After an unanswered ping the pool connects anew, and together they would take longer than a caller waits.
NO_CONNECT_AFTER_SILENCE_SECONDS = 1.0


def create_postgres(url: str) -> Engine:
    """A pool whose connections are tried before use, and answer or fail within two seconds."""
    engine = create_engine(
        url,
        hide_parameters=True,  # an error in the log must not carry what was to be stored
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=4,
        pool_timeout=POOL_WAIT_SECONDS,
        connect_args={
            "connect_timeout": 2,
            "tcp_user_timeout": 2000,  # a host that is gone; one that is there and silent is _Bounded's business
            "options": f"-c statement_timeout={STATEMENT_MILLISECONDS}",
        },
    )
    silent_until = 0.0

    def note_silence() -> None:
        nonlocal silent_until
        silent_until = time.monotonic() + NO_CONNECT_AFTER_SILENCE_SECONDS

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Dialect, _record: object, args: Any, options: Any) -> "_Bounded":  # noqa: ANN401 - SQLAlchemy's
        if time.monotonic() < silent_until:
            raise psycopg.OperationalError("the server kept silent a moment ago")
        connection = _Bounded.connect(*args, **options)
        connection.on_silence = note_silence
        return connection

    return engine


class _Bounded(psycopg.Connection[Any]):
    on_silence: Callable[[], None] = staticmethod(lambda: None)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ANN401 - psycopg's
        """psycopg's own, with a limit. Raises psycopg.OperationalError, and is closed then."""
        try:
            return super().wait(gen, interval, ANSWER_SECONDS if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 - what its wait documents
            if timeout is not None:
                raise
            self.close()
            self.on_silence()
            raise psycopg.OperationalError("the server keeps silent") from None
