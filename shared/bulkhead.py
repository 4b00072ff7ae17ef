"""A bulkhead: requests that wait for slow work run on threads of their own, so the other requests keep theirs."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore

# The key of the bulkhead in an app's ``extensions``.
EXTENSION = "latchkey_bulkhead"


class Bulkhead:
    """Threads for the requests of some routes, such as ``POST /v1/login``. Paths with parameters are not supported."""

    def __init__(self, routes: Collection[str], *, threads: int) -> None:
        self._routes = frozenset(routes)
        self._free = BoundedSemaphore(threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="bulkhead")

    def run(self, method: str, path: str, serve: Callable[[], None]) -> bool:
        """Start ``serve`` on a thread of the bulkhead, if the route is one of its own and a thread is free.

        If it returns False, the caller serves the request itself. Where all threads of the bulkhead wait for argon2,
        HashingPool refuses the next hash at once, so such a request is short.
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
