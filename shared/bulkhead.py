"""A bulkhead: requests that wait for slow work run on threads of their own, so they take none from the others."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore

# Where an app's ``extensions`` have its bulkhead.
EXTENSION = "latchkey_bulkhead"


class Bulkhead:
    """Threads for the requests of some routes, as ``POST /v1/login``; the routes have no places in their paths."""

    def __init__(self, routes: Collection[str], *, threads: int) -> None:
        self._routes = frozenset(routes)
        self._free = BoundedSemaphore(threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="bulkhead")

    def run(self, method: str, path: str, serve: Callable[[], None]) -> bool:
        """Run ``serve`` on a thread of the bulkhead, if the route is one of its own and a thread is free.

        False: the caller serves the request, whose work then finds no place either (HashingPool) and is refused fast.
        """
        if f"{method} {path}" not in self._routes or not self._free.acquire(blocking=False):
            return False
        self._threads.submit(self._serve, serve)
        return True

    def _serve(self, serve: Callable[[], None]) -> None:
        try:
            serve()
        finally:
            self._free.release()
