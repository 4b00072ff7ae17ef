import pytest

from services.notify.providers import transport


class Socket:
    """Takes what is written; ``broken`` as by a server that has hung up."""

    def __init__(self, *, broken=False):
        self.written = []
        self._broken = broken

    def settimeout(self, seconds):
        pass

    def sendall(self, data):
        if self._broken:
            raise BrokenPipeError
        self.written.append(bytes(data))


@pytest.fixture(params=["_PlainPool", "_TlsPool"])
def connection(request):
    return getattr(transport, request.param).ConnectionCls("gateway.example")


def test_a_request_is_written_with_one_call(connection):
    connection.sock = Socket()
    for body in (b"To=%2B41791234567", b""):
        connection.request("POST", "/messages", body, {"Content-Type": "text/plain"})
        head, _, rest = connection.sock.written.pop().partition(b"\r\n\r\n")
        assert not connection.sock.written
        assert head.startswith(b"POST /messages HTTP/1.1\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert rest == body
        connection._HTTPConnection__state = "Idle"  # as after an answer


def test_a_request_that_is_not_written_is_not_left_for_the_next_one(connection):
    connection.sock = Socket(broken=True)
    with pytest.raises(BrokenPipeError):
        connection.request("POST", "/first", b"first", {})
    connection.sock = Socket()
    connection._HTTPConnection__state = "Idle"
    connection.request("POST", "/second", b"second", {})
    [written] = connection.sock.written
    assert b"first" not in written
