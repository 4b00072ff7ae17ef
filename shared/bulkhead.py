"""A bulkhead: requests that wait for slow work run on threads of their own, so the other requests keep theirs."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore

# The key of the bulkhead in an app's ``extensions``.
EXTENSION = "latchkey_bulkhead"


class Bulkhead:
    """Threads for the requests of some routes, such as ``POST /v1/login``. Paths with parameters are not supported.

    As many requests as it has threads may wait for one of them; they hold no other thread meanwhile.
    """

    def __init__(self, routes: Collection[str], *, threads: int) -> None:
        self._routes = frozenset(routes)
        self._places = BoundedSemaphore(2 * threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="bulkhead")

    def has(self, method: str, path: str) -> bool:
        """Whether the route is one of its own. The method is compared as routing compares it, in any letter case."""
        return f"{method.upper()} {path}" in self._routes

    def run(self, serve: Callable[[], None]) -> bool:
        """Run ``serve`` on a thread of the bulkhead, or return False at once when all of its places are taken."""
        if not self._places.acquire(blocking=False):
            return False
        self._threads.submit(self._serve, serve)
        return True

    def _serve(self, serve: Callable[[], None]) -> None:
        try:
            serve()
        finally:
            self._places.release()
