"""Input that no client of ours sends (row 36)."""

import json
import socket
import ssl
from urllib.parse import urlsplit

import urllib3

from deploy.attack.browser import Browser
from deploy.attack.people import enrol, sign_in
from deploy.attack.probe import Probe, Target
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer

JSON = "application/json"
BODIES: dict[str, tuple[bytes, str]] = {
    "half an object": (b'{"email": ', JSON),
    "a list": (b"[1, 2, 3]", JSON),
    "null": (b"null", JSON),
    "an unknown member": (b'{"surprise": true}', JSON),
    "a member twice": (b'{"code": "1", "code": "2"}', JSON),
    "NaN": (b'{"code": NaN}', JSON),
    "deep nesting": (b'{"code": ' + b"[" * 7500 + b"]" * 7500 + b"}", JSON),
    "deep nesting, open": (b'{"a":' * 3000, JSON),
    "no UTF-8": (b'{"code": "\xff\xfe"}', JSON),
    "UTF-16": ('{"code": "1"}'.encode("utf-16"), JSON),
    "plain text": (b"code=123456", "text/plain"),
    "XML": (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "text/xml"),
    "200 KB": (b'{"code": "' + b"x" * 200_000 + b'"}', JSON),
}
VALUES: dict[str, object] = {
    "a number": 7,
    "a big number": 10**400,
    "a list": ["x"],
    "an object": {"$ne": None},
    "NUL": "12\x003456@example.com",
    "a lone surrogate": "\ud800@example.com",
    "nothing": "",
    "15,000 characters": "x" * 15_000,
}
# Bodies that fit but for one value: the field, and who may call.
FIELDS: list[tuple[str, str, dict[str, object]]] = [
    ("POST", "/v1/login", {"email": "a@example.com", "password": "x", "transport": "bearer"}),
    ("POST", "/v1/login/chl_0/verify", {"code": "123456", "remember_device": True}),
    ("POST", "/v1/reauthenticate", {"password": "x", "code": "123456"}),
    ("POST", "/v1/password", {"current_password": "x", "new_password": "x"}),
    ("PUT", "/v1/phone", {"country": "DE", "number": "0151 23456789"}),
    ("POST", "/v1/phone/verify", {"code": "123456"}),
    ("PUT", "/v1/language", {"language": "pt"}),
    ("POST", "/v1/two-factor/enrollment/enr_0/confirm", {"code": "123456"}),
    ("POST", "/v1/two-factor/resets/cancel", {"token": "x"}),
]
PATHS = (
    "/v1/nothing",
    "/v1/login/%00/verify",
    "/v1/sessions/..%2f..%2fetc",
    "/v1/sessions/%F0%9F%92%A9",
    "//evil.example",
)
LINES: dict[str, bytes] = {
    "a request line of 60 KB": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header of 2 MB": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 2_000_000 + b"\r\n\r\n",
    "two lengths": b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 50\r\n\r\n{}",
    "a length and chunks": b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
    "chunks over the limit": b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n8000\r\n" + b" " * 0x8000 + b"\r\n0\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
}
_SECONDS = 5.0


@watched
def hostile_input(target: Target, watch: Watch) -> str:
    """Every write with every hostile body, every field with every wrong value, and what is no request at all."""
    caller = sign_in(target, target.account())
    session = {"Authorization": f"Bearer {caller.token}"}
    writes = _writes(caller)
    for method, path in writes:
        for name, (body, kind) in BODIES.items():
            for headers in ({}, session):
                answer = _send(caller, method, path, body, {**headers, "Content-Type": kind})
                _is_refused(watch, f"{method} {path} with {name}", answer)
    for method, path, members in FIELDS:
        for member in members:
            for name, value in VALUES.items():
                raw = json.dumps({**members, member: value}).encode()
                answer = _send(caller, method, path, raw, {**session, "Content-Type": JSON})
                _is_refused(watch, f"{method} {path}, {member} is {name}", answer)
    for path in PATHS:
        _is_refused(watch, f"GET {path}", caller.raw("GET", path))
    _members_twice(watch, target)
    _loose_types(watch, target)
    lines = _no_request_at_all(watch, target)
    health = target.browser().get("/v1/time")
    watch.holds("the gateway does not answer any more", health.status == 200)
    return (
        f"{len(writes)} writes with {len(BODIES)} hostile bodies each, {len(FIELDS)} with {len(VALUES)} wrong values "
        f"for each member, members twice, loose types, {lines} broken requests on the wire"
    )


def _writes(browser: Browser) -> list[tuple[str, str]]:
    """As the gateway's own contract lists them."""
    paths = browser.get("/openapi.json").body["paths"]
    return [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in paths.items()
        for method in methods
        if method in {"post", "put", "patch", "delete"}
    ]


def _send(browser: Browser, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer | None:
    """None when the connection was closed instead of an answer, as for a body that is far too long.

    A connection each: what is refused before its body was read, the server ends.
    """
    try:
        return browser.raw(method, path, body, {**headers, "Connection": "close"})
    except urllib3.exceptions.ProtocolError:
        return None


def _is_refused(watch: Watch, what: str, answer: Answer | None) -> None:
    if answer is None:
        watch.tries += 1
        return
    refused = 400 <= answer.status < 500 and answer.code is not None
    watch.holds(f"{what}: {answer.status} {answer.code or ''}".rstrip(), refused)


def _members_twice(watch: Watch, target: Target) -> None:
    """A check in front that reads the first member and a gateway that reads the last would not mean the same."""
    account = target.account()
    email, password = json.dumps(account.email), json.dumps(account.password)
    for body in (
        f'{{"email": {email}, "password": "wrong", "password": {password}}}',
        f'{{"email": "nobody@example.com", "email": {email}, "password": {password}}}',
        f'{{"email": {email}, "password": {password}, "pass\\u0077ord": {password}}}',
    ):
        answer = target.browser().raw("POST", "/v1/login", body.encode(), {"Content-Type": JSON})
        watch.refused("a login with a member twice", answer, "malformed_body")


def _loose_types(watch: Watch, target: Target) -> None:
    """What only looks like true or like text must not be taken for it."""
    owner = enrol(target)
    browser, challenge = owner.challenge()
    code = owner.app.fresh()
    for name, value in (("yes", "yes"), ("1", 1), ("a list", [True])):
        answer = browser.post(f"/v1/login/{challenge}/verify", {"code": code, "remember_device": value})
        watch.refused(f"remember_device is {name}", answer, "validation_failed")
    for name, wrong in (("a number", int(code)), ("a list", [code]), ("an object", {"code": code})):
        answer = browser.post(f"/v1/login/{challenge}/verify", {"code": wrong})
        watch.refused(f"a code that is {name}", answer, "validation_failed")
    watch.served("the same code as text", browser.verify(challenge, code))


def _no_request_at_all(watch: Watch, target: Target) -> int:
    parts = urlsplit(target.base_url)
    for name, data in LINES.items():
        status = _status_of(
            parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80), parts.scheme, data
        )
        watch.holds(f"{name}: {status}", status is None or status[:1] == "4" or status == "501")
    return len(LINES)


def _status_of(host: str, port: int, scheme: str, data: bytes) -> str | None:
    """The status that these bytes are answered with; None when the connection is closed without a word."""
    try:
        with socket.create_connection((host, port), timeout=_SECONDS) as plain:
            connection = (
                ssl.create_default_context().wrap_socket(plain, server_hostname=host) if scheme == "https" else plain
            )
            connection.sendall(data)
            first = connection.recv(4096).split(b" ", 2)
    except TimeoutError:
        return "no answer"
    except OSError:
        return None
    return first[1].decode("ascii", "replace") if len(first) > 1 else None


PROBES = (
    Probe(
        36,
        "hostile-input",
        "Huge bodies, deep JSON, NUL, lone surrogates, wrong types, members twice, wrong content type",
        "–",
        hostile_input,
    ),
)
