"""Every route of the contract against hostile bodies: a clear 4xx problem, nothing changed, never a 500."""

import contextlib
import http.client
import json
from urllib.parse import urlsplit

import pytest

from deploy.attack.probes.hostile import FIELDS
from deploy.portal import Portal

pytestmark = pytest.mark.e2e

JSON = "application/json"
HOSTILE = {
    "bad JSON": (b'{"email": ', JSON),
    "not an object": (b"[1, 2, 3]", JSON),
    "a bare string": (b'"text"', JSON),
    "null": (b"null", JSON),
    "unknown field": (b'{"surprise": true}', JSON),
    "a member twice": (b'{"code": "1", "code": "2"}', JSON),
    "NaN": (b'{"code": NaN}', JSON),
    "deep nesting": (b'{"code": ' + b"[" * 8000 + b"]" * 8000 + b"}", JSON),
    "not UTF-8": (b'{"code": "\xff\xfe"}', JSON),
    "wrong content type": (b"code=123456", "text/plain"),
    "a form": (b"code=123456", "application/x-www-form-urlencoded"),
    "1 MB": (b'{"code": "' + b"x" * 1_000_000 + b'"}', JSON),
}
WRONG_VALUES = {
    "number": 7,
    "null": None,
    "list": ["x"],
    "object": {"a": 1},
    "true": True,
    "NUL byte": "12\x003456",
    "lone surrogate": "\ud800",
    "empty": "",
    "long": "x" * 15_000,
    "other digits": "١٢٣٤٥٦",
    "full-width digits": "１２３４５６",
    "spaces": " 123456",
    "underscore": "123_456",
    "sign": "+12345",
    "newline": "123456\n",
}
FITS_SOME_FIELD = {"long", "true", "null", "other digits", "full-width digits", "spaces", "underscore"}
TAKES_A_FORM = "/v1/callbacks/twilio/status"


def send(base_url: str, method: str, path: str, body: bytes, content_type: str, token: str | None = None):
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=10)
    headers = {"Content-Type": content_type, "X-Forwarded-For": "10.77.0.1"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    # Refused before the whole body was read; the answer is there all the same.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(method, path, body, headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response, data


def is_a_problem(response, data) -> bool:
    document = json.loads(data)
    return (
        response.getheader("Content-Type") == "application/problem+json"
        and document["status"] == response.status
        and {"type", "title", "status", "detail", "code"} <= document.keys()
    )


def writes(stack) -> list[tuple[str, str]]:
    paths = Portal(stack.base_url).get("/openapi.json").body["paths"]
    return [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in paths.items()
        for method in methods
        if method in {"post", "put", "delete"}
    ]


def test_every_write_refuses_every_hostile_body(stack, make_person):
    token = make_person().signed_in().token
    tried = 0
    for method, path in writes(stack):
        for name, (body, content_type) in HOSTILE.items():
            if path == TAKES_A_FORM and name == "a form":
                continue
            for session in (None, token):
                response, data = send(stack.base_url, method, path, body, content_type, session)
                where = f"{method} {path} with {name}: {response.status} {data[:200]!r}"
                assert 400 <= response.status < 500, where
                assert is_a_problem(response, data), where
                tried += 1
    assert tried > 500


@pytest.mark.parametrize(("method", "path", "body"), FIELDS)
def test_every_field_refuses_every_wrong_value(stack, make_person, method, path, body):
    portal = make_person().signed_in()
    for field in body:
        missing = {name: value for name, value in body.items() if name != field}
        answer = portal.call(method, path, missing)
        assert answer.status < 500, (field, answer.body)
        for name, value in WRONG_VALUES.items():
            answer = portal.call(method, path, {**body, field: value})
            assert 400 <= answer.status < 500 or name in FITS_SOME_FIELD, (field, name, answer.status, answer.body)
            assert answer.status < 500, (field, name, answer.body)


def test_an_empty_body_where_one_is_needed_is_a_422(stack):
    response, data = send(stack.base_url, "POST", "/v1/login", b"", JSON)
    assert response.status == 422
    assert is_a_problem(response, data)


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/nothing", "/v1/login/%00/verify", "/v1/login/..%2f..%2fetc", "/v1/sessions/a%20b"]
)
def test_an_unknown_address_is_a_problem_too(stack, path):
    response, data = send(stack.base_url, "GET", path, b"", JSON)
    assert response.status in {404, 405, 308}
    assert response.status == 308 or is_a_problem(response, data)


def test_a_wrong_method_says_which_are_right(stack):
    response, data = send(stack.base_url, "DELETE", "/v1/login", b"", JSON)
    assert response.status == 405
    assert is_a_problem(response, data)
    assert "POST" in response.getheader("Allow")
