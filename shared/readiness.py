"""What every HTTP service needs to be ready: its database, Redis, and a clock that agrees with all the others."""

from collections.abc import Callable
from typing import Protocol

from redis import Redis
from sqlalchemy import Engine, text

from shared.clock import system_clock
from shared.clock_check import require_right_clock
from shared.database import reading


class Stores(Protocol):
    """A service's deps, as far as its health goes."""

    @property
    def database(self) -> Engine:
        """Its own."""

    @property
    def redis(self) -> Redis:
        """Which it shares."""


def checks(stores: Stores) -> dict[str, Callable[[], object]]:
    """The parts of ``/readyz`` by name; each raises what its library raises, or Unavailable."""

    def sql() -> None:
        with reading(stores.database) as connection:
            connection.execute(text("SELECT 1"))

    def redis() -> None:
        stores.redis.ping()

    def clock() -> None:
        require_right_clock(stores.redis, system_clock)

    return {"sql": sql, "redis": redis, "clock": clock}
