"""An SMS provider that takes its time and next to no CPU: Twilio's answer, 50 ms after each request.

A process of its own, so that what it costs is not taken for the worker's. ``GET /count`` tells how many numbers it has
got, ``GET /`` when it got each, and ``DELETE /`` has it forget them: to tell of thousands takes it as long as a send.
"""

import asyncio
import json
import re
import selectors
import sys
import time
from typing import cast
from urllib.parse import parse_qs

DELAY_SECONDS = 0.05
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


class _Connection(asyncio.Protocol):
    def __init__(self, arrived: dict[str, float]) -> None:
        self._arrived = arrived  # number -> monotonic seconds, of all connections
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head, separator, rest = self._unread.partition(b"\r\n\r\n")
        match = _LENGTH.search(head)
        length = int(match[1]) if match else 0
        if not separator or len(rest) < length:
            return
        self._unread = rest[length:]
        if not head.startswith(b"POST"):
            self._tell(head)
            return
        number = parse_qs(rest[:length].decode())["To"][0]
        self._arrived[number] = time.monotonic()
        sid = f"SM{len(self._arrived):032x}"
        answer = json.dumps({"sid": sid, "status": "queued", "to": number, "error_code": None}).encode()
        asyncio.get_running_loop().call_later(DELAY_SECONDS, self._answer, b"201 Created", answer)

    def _tell(self, head: bytes) -> None:
        if head.startswith(b"DELETE"):
            self._arrived.clear()
        told = len(self._arrived) if head.startswith(b"GET /count ") else self._arrived
        self._answer(b"200 OK", json.dumps(told).encode())

    def _answer(self, status: bytes, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
        )


async def _serve(port: int) -> None:
    arrived: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(arrived), "127.0.0.1", port, backlog=256)
    await server.serve_forever()


def _loop() -> asyncio.AbstractEventLoop:
    """epoll knows whole milliseconds only, so each answer would come up to one later."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(_serve(int(sys.argv[1])))
