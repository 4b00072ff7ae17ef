"""What is taken as a body or a query, and what is said of one that is wrong."""

import io

import pytest

from shared.bodies import Text
from shared.web import MAX_BODY_BYTES
from tests.support.web import problem

JSON = {"content_type": "application/json"}


def test_an_object_is_read(client):
    assert client.post("/echo", json={"text": "ä", "count": 3}).json == {"text": "ä", "count": 3}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"7",
        b"nonsense",
        b"{'text': 'x'}",
        b'{"text": "x",}',
        b'{"text": "x"} {}',
        b'{"text": "x", "text": "y"}',
        b'{"text": {"a": 1, "a": 1}}',
        b'{"count": NaN}',
        b'{"count": Infinity}',
        b'{"count": -Infinity}',
        b'{"text": "\xff"}',
        b'\xef\xbb\xbf{"text": "x"}',
        '{"text": "x"}'.encode("utf-16"),
        b'{"text": "a\x00b"}',
        b'{"text": "a\nb"}',
        b"[" * 8000,
        b'{"text":' * 1800,
        b'{"count": ' + b"9" * 5000 + b"}",
        b" ",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_no_json_object_is_a_malformed_body(client, body):
    problem(client.post("/echo", data=body, **JSON), 400, "malformed_body")
    problem(client.post("/nothing", data=body, **JSON), 400, "malformed_body")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "a\x00b"}, "text"),
        ({"text": "\ud800"}, "text"),
        ({"text": "a\udfffb"}, "text"),
        ({"text": 7}, "text"),
        ({"text": None}, "text"),
        ({"text": ["x"]}, "text"),
        ({"text": {"x": "y"}}, "text"),
        ({"text": True}, "text"),
        ({"count": "many"}, "count"),
        ({"count": []}, "count"),
        *(({"flag": value}, "flag") for value in (0, 1, 1.0, "yes", "true", "True", "off", "", None, [], {})),
        ({"unknown": 1}, "unknown"),
        ({"__proto__": 1}, "(no name)"),
        ({"\ud800": 1}, "(no name)"),
    ],
)
def test_a_wrong_member_is_named(client, body, field):
    document = problem(client.post("/echo", json=body), 422, "validation_failed")
    assert list(document["errors"]) == [field]


@pytest.mark.parametrize("count", [b"1e999", b"-1e999", b"1e308"])
def test_an_endless_number_is_no_crash(client, count):
    assert client.post("/echo", data=b'{"count": ' + count + b"}", **JSON).status_code in {200, 422}


@pytest.mark.parametrize("flag", [True, False])
def test_a_flag_is_true_or_false(client, flag):
    assert client.post("/echo", json={"flag": flag}).json["flag"] is flag


def test_bytes_are_no_text():
    with pytest.raises(Exception, match="Not a valid string"):
        Text().deserialize(b"x")


def test_an_empty_body_is_an_empty_object(client):
    assert client.post("/nothing").json == {"done": True}
    assert client.post("/nothing", data=b"{}", **JSON).json == {"done": True}
    assert client.post("/echo").json == {"text": "", "count": 0}


def test_a_call_that_takes_nothing_takes_nothing(client):
    problem(client.post("/nothing", json={"x": 1}), 422, "validation_failed")


def test_an_unknown_or_wrong_query_parameter_is_named(client):
    assert problem(client.get("/listed?x=1"), 422, "validation_failed")["errors"] == {"x": ["Unknown field."]}
    assert "limit" in problem(client.get("/listed?limit=many"), 422, "validation_failed")["errors"]


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/xml", "",
     "application/jsonp", "text/json", "application/json-patch"],
)  # fmt: skip
def test_only_json_is_taken(client, content_type):
    body = b'{"text": "x"}'
    answer = client.post("/echo", data=body, headers={"Content-Type": content_type})
    problem(answer, 415, "unsupported_media_type")
    problem(client.post("/nothing", data=body, headers={"Content-Type": content_type}), 415, "unsupported_media_type")


def test_json_with_a_charset_is_json(client):
    answer = client.post("/echo", data=b'{"text": "x"}', headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.status_code == 200


def test_an_address_that_is_made_for_it_takes_a_form(client):
    assert client.post("/form", data={"a": "b"}).status_code == 200


def test_a_body_of_16_kib_is_read_and_one_byte_more_is_not(client):
    frame = len(b'{"text": ""}')
    assert client.post("/echo", data=b'{"text": "' + b"x" * (MAX_BODY_BYTES - frame) + b'"}', **JSON).status_code == 200
    larger = b'{"text": "' + b"x" * (MAX_BODY_BYTES - frame + 1) + b'"}'
    problem(client.post("/echo", data=larger, **JSON), 413, "body_too_large")
    problem(client.post("/form", data={"a": "x" * MAX_BODY_BYTES}), 413, "body_too_large")
    problem(client.post("/nowhere", data=larger, **JSON), 413, "body_too_large")


def chunked(size, content_type="application/json"):
    """A body that does not say how long it is; the server ends it."""
    frame = b'{"text": "' + b"x" * size + b'"}'
    return {
        "input_stream": io.BytesIO(frame),
        "headers": {"Transfer-Encoding": "chunked", "Content-Type": content_type},
        "environ_base": {"wsgi.input_terminated": True},
    }


def test_a_body_without_a_length_is_bounded_all_the_same(client):
    assert client.post("/echo", **chunked(10)).json == {"text": "x" * 10, "count": 0}
    # werkzeug cuts it off at the limit, so what it breaks is the JSON.
    problem(client.post("/echo", **chunked(MAX_BODY_BYTES)), 400, "malformed_body")
    problem(client.post("/echo", **chunked(10, "text/plain")), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "name", ["Seven Wet Otters", "+4915123456789", "492039", "k7f3-q2ma", "x" * 41, "pässword", ""]
)
def test_what_can_be_no_members_name_is_not_told_back(client, name):
    errors = problem(client.post("/echo", json={"text": "a", name: 1}), 422, "validation_failed")["errors"]
    assert errors == {"(no name)": ["Unknown field."]}


def test_a_misspelt_member_is_told_back(client):
    errors = problem(client.post("/echo", json={"text": "a", "tekst": 1}), 422, "validation_failed")["errors"]
    assert errors == {"tekst": ["Unknown field."]}
