"""Frames of AMQP, however the network cuts them: each is taken once, whole and in its order, and nobody waits."""

import itertools
import socket
import struct

import pytest
from amqp.exceptions import RecoverableConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.rabbitmq_broker import AheadTransport, RabbitMqTransport

FRAMES = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 65535), st.binary(max_size=300)), max_size=12)


def packed(*frames) -> bytes:
    return b"".join(struct.pack(">BHI", kind, channel, len(body)) + body + b"\xce" for kind, channel, body in frames)


class CountedSocket:
    """Counts the calls that read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.reads = 0

    def recv(self, *args):
        self.reads += 1
        return self._sock.recv(*args)

    def __getattr__(self, name):
        return getattr(self._sock, name)


class Line:
    """A broker's end of a connection, and ours; what is sent is here at once."""

    def __enter__(self):
        self.ours = AheadTransport("127.0.0.1")
        sock, self.broker = socket.socketpair()
        self.ours.sock = CountedSocket(sock)
        self.ours._setup_transport()
        self.ours.connected = True
        return self

    def __exit__(self, *_):
        self.ours.close()
        self.broker.close()

    def take(self) -> list:
        """Every whole frame that is here."""
        frames = []
        while True:
            try:
                frames.append(self.ours.take_frame())
            except TimeoutError:
                return frames


@settings(deadline=None)
@given(FRAMES, st.data())
def test_frames_are_taken_whole_and_in_order_however_they_are_cut(frames, data):
    stream = packed(*frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    with Line() as line:
        taken = []
        for start, end in itertools.pairwise([0, *cuts, len(stream)]):
            line.broker.sendall(stream[start:end])
            taken += line.take()
    assert taken == frames


def test_what_is_here_is_read_at_once():
    frames = [(1, 1, b"method"), (2, 1, b"header"), (3, 1, b"body")]
    with Line() as line:
        line.broker.sendall(packed(*frames))
        assert line.take() == frames
        assert line.ours.sock.reads == 2, "the frames, and that there is no more"


def test_the_event_loop_leaves_no_message_in_our_hands():
    """It looks again when the socket has something to read, and what was read ahead is not there any more."""
    frames = [(3, 1, b"message %d" % number) for number in range(5)]
    with Line() as line:
        connection, served = RabbitMqTransport.Connection(), []
        connection.transport = line.ours
        connection.on_inbound_frame = lambda frame: served.append(frame) or True
        line.broker.sendall(packed(*frames) + packed((3, 1, b"the next"))[:9])
        connection.drain_events(timeout=0)
        assert served == frames


def test_a_message_that_ends_the_connection_ends_the_reading():
    with Line() as line:
        connection, served = RabbitMqTransport.Connection(), []
        connection.transport = line.ours
        connection.on_inbound_frame = lambda frame: served.append(frame) or line.ours.close() or True
        line.broker.sendall(packed((3, 1, b"one"), (3, 1, b"two")))
        connection.drain_events(timeout=0)
        assert served == [(3, 1, b"one")]


class Served:
    """A connection whose frames ``serve`` acts on, under an event loop; ``again`` holds what that is to do soon."""

    def __init__(self, line: Line, serve) -> None:
        self.frames, self.again = [], []
        self.connection = RabbitMqTransport.Connection()
        self.connection.transport = line.ours
        self.connection.on_inbound_frame = lambda frame: self.frames.append(frame) or serve(frame) or True
        self.transport = RabbitMqTransport(client=None)

    def call_soon(self, action, *args) -> None:
        self.again.append(lambda: action(*args))

    def is_readable(self) -> None:
        self.transport.on_readable(self.connection, self)


def test_a_message_costs_one_read_and_one_turn_of_the_event_loop():
    with Line() as line:
        served = Served(line, lambda _frame: None)
        line.broker.sendall(packed((3, 1, b"one"), (3, 1, b"two")))
        served.is_readable()
        assert served.frames == [(3, 1, b"one"), (3, 1, b"two")]
        assert (line.ours.sock.reads, served.again) == (1, [])


def test_who_acts_on_a_message_and_fails_does_not_keep_the_others_waiting():
    def fail(frame):
        if frame[2] != b"three":
            raise TimeoutError

    with Line() as line:
        served = Served(line, fail)
        line.broker.sendall(packed((3, 1, b"one"), (3, 1, b"two"), (3, 1, b"three")))
        served.is_readable()
        assert served.frames == [(3, 1, b"one"), (3, 1, b"two"), (3, 1, b"three")]
        assert served.again == []


def test_a_connection_that_ended_while_a_message_was_served_is_found_out():
    with Line() as line:
        served = Served(line, lambda _frame: line.ours.close())
        line.broker.sendall(packed((3, 1, b"one")))
        served.is_readable()
        (action,) = served.again
        with pytest.raises(RecoverableConnectionError):
            action()


def test_who_waits_reads_no_further_than_its_answer():
    """What it left in our hands nobody would come for: the event loop looks when something is there to be read."""
    with Line() as line:
        line.broker.sendall(packed((1, 1, b"answer"), (1, 1, b"message")))
        assert line.ours.read_frame() == (1, 1, b"answer")
        assert not line.ours._read_buffer
        assert line.take() == [(1, 1, b"message")]


def test_who_waits_gets_first_what_was_read_ahead():
    with Line() as line:
        line.broker.sendall(packed((1, 1, b"message"), (1, 1, b"answer")))
        assert line.ours.take_frame() == (1, 1, b"message")
        assert line.ours.read_frame() == (1, 1, b"answer")


@pytest.mark.parametrize("before", [b"", packed((8, 0, b""))[:5]])
def test_a_broker_that_hangs_up_is_found_out(before):
    with Line() as line:
        line.broker.sendall(before)
        line.broker.close()
        with pytest.raises(ConnectionResetError):
            line.take()
        assert not line.ours.connected
