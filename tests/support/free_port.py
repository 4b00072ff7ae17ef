"""A free port for a test server: below 32768, where the kernel takes no port for a client's end of a connection."""

import itertools
import os
import socket
from collections.abc import Iterator

_LOWEST, _HIGHEST = 20000, 32767
# Processes of one test run begin at different places, so that they seldom try the same port at the same time.
_begin = _LOWEST + (os.getpid() * 37) % (_HIGHEST - _LOWEST)
_candidates: Iterator[int] = itertools.cycle([*range(_begin, _HIGHEST), *range(_LOWEST, _begin)])


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at the moment. Raises RuntimeError when there is none."""
    for port in itertools.islice(_candidates, _HIGHEST - _LOWEST):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise RuntimeError(_LOWEST, _HIGHEST)
