"""SQL from one code path: SQLite on one machine, PostgreSQL beyond it."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, DateTime, Engine, Select, create_engine, event
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeDecorator

from shared.breaker import Breaker
from shared.deadline import at_most

TURN_WAIT_SECONDS, BUSY_WAIT_SECONDS = 1.0, 1.0  # of one process, of SQLite; both together still in time for a 503
_TURN = "latchkey_write_turn"
# An engine's execution option: what each writing transaction calls with its connection, last before it commits.
BEFORE_COMMIT = "latchkey_before_commit"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite stores it without a zone, so the zone is put back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times: they are a bug."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time for the database")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's
        """The same moment, aware."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def create_database(url: str) -> Engine:
    """An engine that answers or fails within about two seconds."""
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite(url)
    from shared.postgres import create_postgres  # noqa: PLC0415 - a driver of 10 MB, which SQLite needs not

    return create_postgres(url)


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """An engine for the length of a block, for commands."""
    engine = create_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


def _sqlite(url: str) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"timeout": BUSY_WAIT_SECONDS, "check_same_thread": False},
        execution_options={_TURN: _Turn()},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401 - sqlite3's, through the pool
        # The driver must not open transactions by itself: it would begin them DEFERRED, and a reader that turns
        # writer meets SQLITE_BUSY at once instead of waiting its turn.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes; all of it is committed, or none."""
    with _write_turn(engine), engine.connect() as connection, connection.begin():
        if _is_sqlite(engine):  # its driver does not begin by itself, see _configure
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
        if before_commit := engine.get_execution_options().get(BEFORE_COMMIT):
            before_commit(connection)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for reads, each statement its own; no transaction is opened for them."""
    with engine.connect() as connection:
        # SQLite's connections are in that mode anyway (see _configure), and switching them costs as much as a read.
        yield connection if _is_sqlite(engine) else _autocommit(connection)


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection whose reads all see one moment, whatever is written meanwhile; for long walks through a table."""
    with engine.connect() as connection:
        if not _is_sqlite(engine):
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            if _is_sqlite(engine):
                connection.exec_driver_sql("BEGIN")
            yield connection


@contextmanager
def claiming(connection: Connection) -> Iterator[None]:
    """One writing statement on a connection for reads: it waits its turn among this process's writers."""
    with _write_turn(connection.engine):
        yield


_Processor = Callable[[Any], Any]  # from the driver's value to the column's


class PlainRead:
    """A SELECT that is run on the driver's own cursor. The values have the types of their columns.

    For the reads that every attempt makes: SQLAlchemy's execution costs several times what the query does.
    """

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._prepared: dict[str, tuple[SQLCompiler, list[tuple[int, _Processor]]]] = {}

    def one_or_none(self, connection: Connection, **parameters: str) -> tuple[Any, ...] | None:
        """The row that there is, at most one. Raises DBAPIError, as every statement does."""
        compiled, processors = self._for(connection.dialect)
        named = compiled.construct_params(dict(parameters))
        arguments = [named[name] for name in compiled.positiontup or ()] if compiled.positional else named
        driver_error = connection.dialect.loaded_dbapi.Error
        try:
            with contextlib.closing(connection.connection.cursor()) as cursor:
                cursor.execute(str(compiled), arguments)
                row: tuple[Any, ...] | None = cursor.fetchone()
        except driver_error as error:
            connection.invalidate(error)  # whatever is wrong with it: the pool must not hand it out again
            raise DBAPIError.instance(str(compiled), None, error, driver_error, hide_parameters=True) from error
        if row is None or not processors:
            return row
        values = list(row)
        for position, processor in processors:
            values[position] = processor(values[position])
        return tuple(values)

    def _for(self, dialect: Dialect) -> "tuple[SQLCompiler, list[tuple[int, _Processor]]]":
        prepared = self._prepared.get(dialect.name)
        if prepared is None:
            types = [column.type.dialect_impl(dialect) for column in self._statement.selected_columns]
            found = [(position, type_.result_processor(dialect, None)) for position, type_ in enumerate(types)]
            processors: list[tuple[int, _Processor]] = [(number, one) for number, one in found if one is not None]
            prepared = self._prepared[dialect.name] = self._statement.compile(dialect=dialect), processors
        return prepared


def _is_sqlite(engine: Engine) -> bool:
    return _TURN in engine.get_execution_options()


def _autocommit(connection: Connection) -> Connection:
    return connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def _write_turn(engine: Engine) -> Iterator[None]:
    """SQLite has one writer at a time and makes the others sleep for ever longer; threads wait for each other here."""
    turn = engine.get_execution_options().get(_TURN)
    if turn is None:
        yield
        return
    with turn.breaker.call(_no_turn) as tries:
        if not turn.lock.acquire(timeout=0 if tries else at_most(TURN_WAIT_SECONDS)):
            raise _no_turn()
        try:
            yield
        finally:
            turn.lock.release()


def _no_turn() -> PoolTimeoutError:
    return PoolTimeoutError("no turn to write came")


class _Turn:
    """Who of this process writes, and whether somebody else's lock has kept its writers waiting lately."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.breaker = Breaker("sqlite", _kept_waiting, opens_after=3)


def _kept_waiting(error: BaseException) -> bool:
    if isinstance(error, OperationalError):
        return getattr(error.orig, "sqlite_errorname", None) == "SQLITE_BUSY"
    return isinstance(error, PoolTimeoutError)
