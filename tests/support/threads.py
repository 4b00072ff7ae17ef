"""Threads that start together."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from shared.problems import Refusal


def at_once(count: int, action: Callable[[int], Any]) -> list[Any]:
    """Run the action on so many threads; what each returned. Raises what one of them raised."""
    barrier = threading.Barrier(count)

    def run(index: int) -> Any:
        barrier.wait()
        return action(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def answers_at_once(*actions: Callable[[], Any]) -> list[Any]:
    """The answers, or the codes of the refusals, of different actions."""

    def run(index: int) -> Any:
        try:
            return actions[index]()
        except Refusal as refusal:
            return refusal.code

    return at_once(len(actions), run)
