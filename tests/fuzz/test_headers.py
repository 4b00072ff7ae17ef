"""Hostile headers over a socket of our own, for no client would send them: a 4xx or a closed line, never a 500."""

import re
import secrets
import socket
from urllib.parse import urlsplit

import pytest

from deploy.portal import Portal

NOBODY = b"nobody"
BODY = b'{"email": "nobody@example.com", "password": "x"}'
BIG = b"x" * 70_000
JUNK = {
    "huge": BIG,
    "NUL": b"a\x00b",
    "latin-1": b"\xe9\xfc\xff",
    "UTF-8": "é٣😀".encode(),
    "no UTF-8": b"\xc3\x28\xa0\xa1",
    "empty": b"",
    "spaces": b"   ",
    "controls": b"\x01\x02\x7f",
    "a line of its own": b"x\r\n folded",
    "bare CR": b"x\ry: z",
    "bare LF": b"x\ny: z",
    "quotes": b'"\\"\\',
    "commas": b",,,,;;=,",
    "percent": b"%00%ff%zz",
}
NAMES = [
    b"Authorization",
    b"Cookie",
    b"Host",
    b"Origin",
    b"X-Forwarded-For",
    b"X-Device-Token",
    b"X-Twilio-Signature",
    b"User-Agent",
    b"Sec-Fetch-Site",
    b"Content-Type",
    b"Content-Length",
    b"Transfer-Encoding",
    b"Accept-Language",
    b"Expect",
    b"X-" + b"n" * 9000,
]
PREFIXES = {
    b"Authorization": [b"", b"Bearer ", b"bearer\t", b"Basic "],
    b"Cookie": [b"", b"latchkey_session=", b"latchkey_device=", b'latchkey_session="'],
    b"Host": [b"", b"a.example:", b"["],
    b"Origin": [b"", b"http://", b"null"],
    b"X-Forwarded-For": [b"", b"10.0.0.1, ", b"::ffff:"],
    b"Content-Type": [b"", b"application/json; charset=", b"multipart/form-data; boundary="],
    b"Content-Length": [b"", b"-", b"+", b"0x", b"9" * 30],
}
TWICE = {
    "Authorization": [b"Authorization: Bearer a", b"Authorization: Bearer b"],
    "Cookie": [b"Cookie: latchkey_session=a", b"Cookie: latchkey_session=b"],
    "Host": [b"Host: a.example", b"Host: b.example"],
    "Origin": [b"Origin: http://a.example", b"Origin: null"],
    "Content-Length": [b"Content-Length: 5", b"Content-Length: 48"],
    "Content-Length and chunks": [b"Content-Length: 48", b"Transfer-Encoding: chunked"],
    "Content-Type": [b"Content-Type: application/json", b"Content-Type: text/plain"],
    "X-Forwarded-For": [b"X-Forwarded-For: x", b"X-Forwarded-For: 1.2.3.4, y"],
    "a thousand headers": [b"X-%d: x" % number for number in range(1000)],
}
TARGETS = [
    (b"POST", b"/v1/login"),
    (b"GET", b"/v1/session"),
    (b"POST", b"/v1/callbacks/twilio/status?message_id=sms_1"),
    (b"GET", b"/login"),
]


def ask(base_url: str, method: bytes, path: bytes, headers: list[bytes]) -> int | None:
    """The status of the answer; None when the server closed the line without one, or waits for a body to end."""
    where = urlsplit(base_url)
    given = {header.partition(b":")[0].lower() for header in headers}
    usual = [
        b"Host: " + where.netloc.encode(),
        b"Content-Type: application/json",
        b"Content-Length: %d" % (len(BODY) if method == b"POST" else 0),
        b"X-Forwarded-For: 10.%d.%d.%d" % tuple(secrets.token_bytes(3)),
    ]
    lines = [*(line for line in usual if line.partition(b":")[0].lower() not in given), *headers, b"Connection: close"]
    body = BODY.replace(NOBODY, secrets.token_hex(3).encode())  # an address has a budget of its own
    request = b"%s %s HTTP/1.1\r\n%s\r\n\r\n" % (method, path, b"\r\n".join(lines))
    with socket.create_connection((where.hostname, where.port), timeout=2) as line:
        try:
            line.sendall(request + (body if method == b"POST" else b""))
            answer = line.recv(200)
        except (ConnectionResetError, BrokenPipeError, TimeoutError):
            return None
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(found.group(1)) if found else None


def seen(stack, headers: list[bytes]) -> dict[tuple[bytes, bytes], int | None]:
    return {target: ask(stack.base_url, *target, headers) for target in TARGETS}


def assert_harmless(answers, what) -> None:
    # 503: hashing has few places, and says so.
    wrong = {target: status for target, status in answers.items() if status is not None and 500 <= status != 503}
    assert not wrong, (what, wrong)


def test_what_is_not_hostile_is_answered(stack):
    expected = {TARGETS[0]: 401, TARGETS[1]: 401, TARGETS[2]: 403, TARGETS[3]: 303}
    assert seen(stack, [b"X-Nothing: special"]) == expected


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:30].decode())
def test_junk_in_a_header_is_no_fault_of_ours(stack, name):
    for what, junk in JUNK.items():
        for prefix in PREFIXES.get(name, [b""]):
            assert_harmless(seen(stack, [name + b": " + prefix + junk]), (prefix, what))


@pytest.mark.parametrize("what", TWICE)
def test_a_header_twice_is_no_fault_of_ours(stack, what):
    assert_harmless(seen(stack, TWICE[what]), what)


def test_junk_opens_nothing(stack):
    """No junk in a credential's place is anybody's session."""
    for name in (b"Authorization", b"Cookie"):
        for junk in JUNK.values():
            for prefix in PREFIXES[name]:
                status = ask(stack.base_url, b"GET", b"/v1/session", [name + b": " + prefix + junk])
                assert status is None or 400 <= status < 500


def test_two_lengths_are_refused(stack):
    assert ask(stack.base_url, b"POST", b"/v1/login", TWICE["Content-Length"]) in {None, 400}


@pytest.mark.parametrize("origin", [b"http://evil.example", b"null", b"http://", b"\xff", b"http://127.0.0.1:1", b"*"])
def test_a_write_from_another_origin_is_refused(stack, origin):
    assert ask(stack.base_url, b"POST", b"/v1/login", [b"Origin: " + origin]) == 403


def test_the_internal_service_takes_no_junk_for_its_key(stack):
    for junk in JUNK.values():
        status = ask(stack.settings.otp_url, b"GET", b"/accounts/acc_0/two-factor", [b"Authorization: Bearer " + junk])
        assert status is None or 400 <= status < 500


def test_the_stack_lives_and_logged_no_fault(stack):
    assert Portal(stack.base_url).get("/readyz").status == 200
    for program in ("auth", "otp"):
        assert "unexpected error" not in stack.log_of(program)
        assert "Traceback" not in stack.log_of(program)
