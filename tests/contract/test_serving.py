"""The server over real sockets: a thread runs a request that is there as a whole, and nothing waits in a thread."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.attack.slow import SlowClients, half_requests
from deploy.local.settings import ROOT
from deploy.portal import wait_for
from shared.serving import UNREAD_BYTES
from shared.whole_requests import MAX_BODY_BYTES, MAX_CHUNKS
from tests.support.free_port import free_port
from tests.support.served import SLOW_THREADS, WORK_SECONDS
from tests.support.server import Server

THREADS = 2
ENDED_WITHIN_SECONDS = 10.0
JSON = {"Content-Type": "application/json"}
LARGE_BYTES = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    large, ran = folder / "large", folder / "ran"
    large.write_bytes(os.urandom(1024) * (LARGE_BYTES // 1024))
    ran.touch()
    with running(folder, SERVED_LARGE=str(large), SERVED_RAN=str(ran)) as found:
        found.large, found.ran = large.read_bytes(), ran
        yield found


@contextlib.contextmanager
def running(folder, **environment):
    port = free_port()
    server = Server(
        "served",
        [
            *(sys.executable, "-m", "shared.serving", "tests.support.served:app"),
            *("--host", "127.0.0.1", "--port", str(port), "--threads", str(THREADS)),
        ],
        answers=lambda: status_of(port) == 200,
        log=folder / "log",
        environment={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    server.start()
    try:
        yield SimpleNamespace(server=server, port=port, url=f"http://127.0.0.1:{port}", log=folder / "log")
    finally:
        server.stop()


def test_a_child_that_refuses_its_settings_ends_the_server_with_the_status_of_that(tmp_path):
    app = ("from shared.settings import SettingsError, exit_for_settings", "exit_for_settings(SettingsError(['X']))")
    (tmp_path / "refuses.py").write_text("\n".join(app))
    done = subprocess.run(
        [sys.executable, "-m", "shared.serving", "refuses:app", "--port", str(free_port()), "--threads", "1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == os.EX_CONFIG
    assert "settings: X" in done.stderr.splitlines()


def status_of(port):
    try:
        return call(port, "GET", "/healthz", seconds=2).status
    except OSError:
        return None


def call(port, method, path, body=None, headers=None, seconds=20):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    is_json = "json" in answer.headers.get("Content-Type", "")
    return SimpleNamespace(status=answer.status, headers=answer.headers, body=json.loads(data) if is_json else data)


def raw(port, *parts, pause=0.0):
    """All that the server answers to these bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for number, part in enumerate(parts):
            if number:
                time.sleep(pause)
            connection.sendall(part)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(65536):
                received += data
    return received


def head(path, *lines, method="POST"):
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *lines, "", ""]
    ).encode()


# --- slow clients -----------------------------------------------------------------------------------------------------


def test_slow_connections_hold_no_thread_and_are_ended(served):
    kinds = half_requests(served.url, "/echo", "/large")
    with SlowClients(served.url, kinds, 10 * THREADS * len(kinds), again=False) as clients:
        opened = time.monotonic()
        for _ in range(5):
            assert call(served.port, "POST", "/echo", b'{"a": 1}', JSON, seconds=2).status == 200
        assert time.monotonic() - opened < 2
        assert clients.open == 10 * THREADS * len(kinds), clients.lasted()
        clients.wait(ENDED_WITHIN_SECONDS)
        lasted = {kind: max(seconds) for kind, seconds in clients.lasted().items()}
    assert {kind: seconds for kind, seconds in lasted.items() if seconds >= ENDED_WITHIN_SECONDS} == {}


def unsent_bytes(line):
    """What the server's kernel holds for this connection of ours (proc(5), net/tcp)."""
    (ours, port), (_, theirs) = line.getsockname(), line.getpeername()
    assert ours == "127.0.0.1"
    ends = [f":{theirs:04X}", f":{port:04X}"]
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = row.split()
        if [local[-5:], remote[-5:]] == ends:
            return int(queues.partition(":")[0], 16)
    raise AssertionError("the connection is not in the table")


def test_an_unread_answer_takes_little_room_in_the_kernel(served):
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", served.port))
        line.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: unsent_bytes(line) > 0)
        time.sleep(0.5)
        assert unsent_bytes(line) <= 4 * UNREAD_BYTES


@pytest.mark.parametrize("lines", [("Content-Length: 200",), ("Transfer-Encoding: chunked",)])
def test_a_body_that_drips_is_answered_with_408(served, lines):
    started = time.monotonic()
    drops = [b"1\r\nx\r\n" if "chunked" in lines[0] else b"x"] * 8
    with socket.create_connection(("127.0.0.1", served.port), timeout=1) as connection:
        connection.sendall(head("/echo", *lines))
        answer = b""
        for drop in drops:
            with contextlib.suppress(OSError):
                connection.sendall(drop)
            with contextlib.suppress(OSError):
                answer += connection.recv(4096)
            if answer:
                break
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(4096):
                answer += more
    assert time.monotonic() - started < ENDED_WITHIN_SECONDS
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"request_timeout" in answer
    assert b"connection: close" in answer.lower()


def test_a_head_that_drips_is_ended(served):
    started = time.monotonic()
    with contextlib.suppress(ConnectionError):
        raw(served.port, b"GET /healthz HTTP/1.1\r\n", *[b"X: y\r\n"] * 9, pause=1)
    assert time.monotonic() - started < ENDED_WITHIN_SECONDS


def test_a_body_in_parts_arrives_as_one(served):
    lines = ("Content-Length: 10", "Connection: close")
    assert b'"0123456789"' in raw(served.port, head("/echo", *lines), b"0123", b"456789", pause=1)


def test_half_a_body_of_a_client_that_has_gone_is_never_run(served):
    for lines, body in (
        (("Content-Length: 30",), b"gone with a length"),
        (("Transfer-Encoding: chunked",), b"e\r\ngone by chunks\r\n"),
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection:
            connection.sendall(head("/echo", *lines) + body)
            time.sleep(0.2)
    time.sleep(0.5)
    assert b"gone" not in served.ran.read_bytes()
    assert call(served.port, "POST", "/echo", b"{}", JSON).status == 200


# --- slow work --------------------------------------------------------------------------------------------------------


def test_requests_that_wait_for_slow_work_take_no_thread_from_the_others(served):
    with ThreadPoolExecutor(SLOW_THREADS) as slow:
        waiting = [slow.submit(call, served.port, "POST", "/work", b"{}", JSON) for _ in range(SLOW_THREADS)]
        time.sleep(WORK_SECONDS / 3)
        for _ in range(5):
            assert call(served.port, "POST", "/echo", b"{}", JSON, seconds=WORK_SECONDS / 3).status == 200
        assert not any(answer.done() for answer in waiting)
        assert all(answer.result().body["thread"].startswith("bulkhead") for answer in waiting)


def test_as_many_may_wait_and_one_more_is_refused_at_once(served):
    places = 2 * SLOW_THREADS
    with ThreadPoolExecutor(places) as slow:
        waiting = [slow.submit(call, served.port, "POST", "/work", b"{}", JSON) for _ in range(places)]
        time.sleep(WORK_SECONDS / 3)
        refused = call(served.port, "POST", "/work", b"{}", JSON, seconds=WORK_SECONDS / 3)
        assert (refused.status, refused.body["code"]) == (503, "service_unavailable")
        assert refused.headers["Retry-After"] == "1"
        assert {answer.result().status for answer in waiting} == {200}


def test_a_method_in_lower_case_is_no_way_round(served):
    with ThreadPoolExecutor(SLOW_THREADS) as slow:
        waiting = [slow.submit(call, served.port, "post", "/work", b"{}", JSON) for _ in range(SLOW_THREADS)]
        time.sleep(WORK_SECONDS / 3)
        assert call(served.port, "POST", "/echo", b"{}", JSON, seconds=WORK_SECONDS / 3).status == 200
        assert all(answer.result().body["thread"].startswith("bulkhead") for answer in waiting)


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_a_body_up_to_the_limit_is_run(served):
    assert call(served.port, "POST", "/echo", b"x" * MAX_BODY_BYTES, JSON).body["length"] == MAX_BODY_BYTES


def test_a_longer_body_is_refused_by_its_length(served):
    answer = raw(served.port, head("/echo", f"Content-Length: {MAX_BODY_BYTES + 1}"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body_too_large" in answer


def chunks(*parts):
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("parts", [(), (b"{}",), (b"{", b"}"), (b"x" * MAX_BODY_BYTES,)])
def test_chunks_arrive_as_one_body(served, parts):
    answer = raw(served.port, head("/echo", "Transfer-Encoding: chunked", "Connection: close") + chunks(*parts))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["length"] == len(b"".join(parts))


@pytest.mark.parametrize("parts", [(b"x" * (MAX_BODY_BYTES + 1),), (b"x",) * (MAX_CHUNKS + 1), (b"x" * 9000,) * 2])
def test_chunks_over_the_limit_are_refused(served, parts):
    answer = raw(served.port, head("/echo", "Transfer-Encoding: chunked", "Connection: close") + chunks(*parts))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_client_that_waits_for_leave_gets_it(served):
    lines = ("Content-Length: 2", "Expect: 100-continue", "Connection: close")
    answer = raw(served.port, head("/echo", *lines), b"{}", pause=0.5)
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 200 " in answer


def test_a_connection_serves_one_request_after_another(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=5)
    for number in range(50):
        connection.request("POST", "/echo", f'{{"n": {number}}}', JSON)
        assert json.loads(connection.getresponse().read())["text"] == f'{{"n": {number}}}'
    connection.close()


def test_requests_in_one_piece_are_answered_in_order(served):
    one = head("/echo", "Content-Length: 1")
    answer = raw(served.port, one + b"1" + one + b"2" + head("/echo", "Content-Length: 1", "Connection: close") + b"3")
    assert [answer.find(f'"text":"{number}"'.encode()) > 0 for number in (1, 2, 3)] == [True] * 3
    assert answer.find(b'"1"') < answer.find(b'"2"') < answer.find(b'"3"')


# --- what the app sees ------------------------------------------------------------------------------------------------


def test_the_app_sees_the_request_as_it_was_sent(served):
    answer = call(served.port, "GET", "/seen/a%20b/%C3%A4%2Fc?q=%20x&y=1", headers={"X-A": "1", "Cookie": "a=b"})
    assert answer.body["path"] == "a b/ä/c"
    assert answer.body["headers"]["X-A"] == "1"
    assert answer.body["headers"]["Cookie"] == "a=b"
    assert answer.body["environ"] == {
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PORT": str(served.port),
        "QUERY_STRING": "q=%20x&y=1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
    }


def headers_seen(served, *lines):
    answer = raw(served.port, head("/seen", *lines, "Connection: close", method="GET"))
    return json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]


def test_lines_of_one_name_are_joined(served):
    seen = headers_seen(served, "X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2", "Cookie: a=1", "Cookie: b=2")
    assert seen["X-Forwarded-For"] == "1.1.1.1,2.2.2.2"
    assert seen["Cookie"] == "a=1;b=2"


def test_an_underscore_does_not_pass_for_a_hyphen(served):
    seen = headers_seen(served, "X-Forwarded-For: 1.1.1.1", "X_Forwarded_For: 6.6.6.6", "Content_Length: 5")
    assert seen["X-Forwarded-For"] == "1.1.1.1"
    assert "6.6.6.6" not in str(seen)
    assert "Content-Length" not in seen


def test_a_value_that_is_not_ascii_is_empty(served):
    assert headers_seen(served, "X-Odd: \u00e4")["X-Odd"] == ""


def test_bytes_that_are_no_utf_8_make_no_500(served):
    assert b" 500 " not in raw(served.port, b"GET /seen/%FF%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_file_is_sent_whole(served):
    answer = call(served.port, "GET", "/large")
    assert answer.body == served.large
    assert answer.headers["Content-Length"] == str(LARGE_BYTES)
    assert answer.headers["X-Request-Id"]


def test_a_part_of_a_file_is_sent(served):
    assert call(served.port, "GET", "/large", headers={"Range": "bytes=10-19"}).body == served.large[10:20]


def test_a_head_has_the_length_and_no_body(served):
    answer = call(served.port, "HEAD", "/large")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", str(LARGE_BYTES))


def test_an_answer_in_parts_arrives(served):
    assert call(served.port, "GET", "/parts").body == b"abc"


def test_an_answer_that_breaks_off_is_500(served):
    assert call(served.port, "GET", "/broken").status == 500
    assert "in the middle of an answer" in served.log.read_text()


def test_a_head_over_the_limit_is_refused(served):
    big = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 100_000 + b"\r\n\r\n"
    assert raw(served.port, big)[9:10] in {b"4", b""}


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_stop_finishes_what_runs_whatever_slow_clients_do(tmp_path):
    with running(tmp_path) as served:
        kinds = half_requests(served.url, "/echo", "/healthz")
        with SlowClients(served.url, kinds, 30, again=False):
            connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
            connection.request("GET", "/slow")
            time.sleep(0.3)
            started = time.monotonic()
            served.server._processes()[0].terminate()
            assert connection.getresponse().read() == b'{"slow":true}\n'
            connection.close()
            served.server.stop()
            assert time.monotonic() - started < ENDED_WITHIN_SECONDS


def test_nothing_is_kept_of_what_is_over(served):
    """granian's promise knows the arrival and the arrival knows the promise, so a slip here would be a leak."""
    _parent, worker = served.server._processes()
    whole = head("/echo", f"Content-Length: {MAX_BODY_BYTES}", "Connection: close") + b"x" * MAX_BODY_BYTES
    for _ in range(300):
        raw(served.port, whole)
    before = worker.memory_info().rss
    for _ in range(1000):
        raw(served.port, whole)
    assert worker.memory_info().rss - before < 8 * 1024 * 1024
