"""The house rules of HTTP on an app of their own: what holds here holds for every route of both services."""

import io
import logging

import pytest
import structlog
from flask import abort
from marshmallow import Schema, fields
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.bodies import Flag, NothingSchema, Text
from shared.problems import PROBLEMS, Refusal, Unavailable
from shared.rest import RestBlueprint
from shared.web import FOR_BROWSERS, MAX_BODY_BYTES, create_base_app

SECRET = "hunter2-at-/srv/latchkey"
JSON = {"content_type": "application/json"}


class Args(Schema):
    text = Text(load_default="")
    count = fields.Integer(load_default=0)
    flag = Flag()


class Query(Schema):
    limit = fields.Integer(load_default=1)


def failures():
    return {
        "refused": Refusal("too_many_requests", retry_after_seconds=7, reason=SECRET, extra={"more": 1}),
        "unauthenticated": Refusal("not_authenticated"),
        "part": Unavailable("otp", retry_after_seconds=3),
        "redis": RedisConnectionError(SECRET),
        "redis-timeout": RedisTimeoutError(SECRET),
        "sql": OperationalError(SECRET, {"password": SECRET}, Exception(SECRET)),
        "sql-integrity": IntegrityError(SECRET, None, Exception(SECRET)),
        "sql-database": DatabaseError(SECRET, None, Exception(SECRET)),
        "pool": PoolTimeoutError(SECRET),
        "value": ValueError(SECRET),
        "key": KeyError(SECRET),
        "assertion": AssertionError(SECRET),
        "recursion": RecursionError(SECRET),
    }


@pytest.fixture(scope="module")
def app():
    blueprint = RestBlueprint("things", __name__)

    @blueprint.route("/echo", methods=["POST"])
    @blueprint.arguments(Args)
    def echo(args):
        return args

    @blueprint.route("/nothing", methods=["POST"])
    @blueprint.arguments(NothingSchema, required=False)
    def nothing(args):
        return {"done": True}

    @blueprint.route("/listed", methods=["GET"])
    @blueprint.arguments(Query, location="query")
    def listed(args):
        return args

    @blueprint.route("/things/<id:thing>", methods=["GET"])
    def thing(thing):
        return {"id": thing}

    @blueprint.route("/form", methods=["POST"])
    def form():
        return {"ok": True}

    @blueprint.route("/raise/<name>", methods=["GET"])
    def fail(name):
        raise failures()[name]

    @blueprint.route("/abort/<int:status>", methods=["GET"])
    def stop(status):
        abort(status, SECRET)

    @blueprint.route("/slash/", methods=["GET"])
    def slash():
        return {}

    app, api = create_base_app(
        "test",
        title="Test",
        version="v1",
        checks={"sql": lambda: None},
        docs=False,
        form_endpoints=frozenset({"things.form"}),
    )
    api.register_blueprint(blueprint)
    return app


@pytest.fixture
def client(app):
    return app.test_client()


def problem(answer, status, code):
    """The whole shape of an error (RFC 9457), whatever made it."""
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    document = answer.json
    assert document["type"] == f"urn:latchkey:problem:{code}"
    assert (document["code"], document["status"], document["title"]) == (code, status, PROBLEMS[code].title)
    assert document["detail"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-Id"].startswith("req_")
    assert SECRET not in answer.text
    return document


# --- bodies -----------------------------------------------------------------------------------------------------------


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


# --- addresses and methods --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/nowhere", "/things", "/things/", "/%00", "/things/a%00b", "/things/a%2Fb",
                                  "/things/a.b", "/things/%F0%9F%92%A9", "/things/" + "x" * 81, "/things/a%0A",
                                  "/things/..", "/things/%FF"])  # fmt: skip
def test_what_is_not_there_is_a_404(client, path):
    problem(client.get(path), 404, "not_found")


def test_an_id_is_letters_digits_underscore_and_hyphen(client):
    assert client.get("/things/acc_4F-x").json == {"id": "acc_4F-x"}
    assert client.get("/things/" + "x" * 80).status_code == 200


def test_a_wrong_method_says_which_are_right(client):
    answer = client.get("/echo")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "OPTIONS, POST"


def test_a_redirect_stays_one(client):
    assert client.get("/slash").status_code == 308


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_refusal_keeps_its_reason_to_itself(client):
    answer = client.get("/raise/refused")
    document = problem(answer, 429, "too_many_requests")
    assert (document["more"], document["retry_after"], answer.headers["Retry-After"]) == (1, 7, "7")
    assert "reason" not in document


def test_401_says_how_to_authenticate(client):
    answer = client.get("/raise/unauthenticated")
    problem(answer, 401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("name", "part", "seconds"),
    [
        ("part", "otp", 3),
        ("redis", "redis", 2),
        ("redis-timeout", "redis", 2),
        ("sql", "sql", 2),
        ("sql-integrity", "sql", 2),
        ("sql-database", "sql", 2),
        ("pool", "sql", 2),
    ],
)
def test_a_store_that_is_down_is_503_and_says_when_to_come_back(client, name, part, seconds):
    answer = client.get(f"/raise/{name}")
    document = problem(answer, 503, "service_unavailable")
    assert (document["part"], document["retry_after"]) == (part, seconds)
    assert answer.headers["Retry-After"] == str(seconds)


@pytest.mark.parametrize("name", ["value", "key", "assertion", "recursion"])
def test_what_nobody_foresaw_is_500_without_a_word_of_it(client, name):
    with structlog.testing.capture_logs() as logs:
        document = problem(client.get(f"/raise/{name}"), 500, "internal_error")
    assert set(document) == {"type", "title", "status", "detail", "code"}
    (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert entry["event"] == "unexpected error"
    assert entry["exc_info"] is not None  # and the operator can read it


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_request"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "body_too_large"),
        (415, "unsupported_media_type"),
        (422, "validation_failed"),
        (500, "internal_error"),
        (502, "internal_error"),
    ],
)
def test_what_flask_refuses_is_a_problem_too(client, status, code):
    problem(client.get(f"/abort/{status}"), PROBLEMS[code].status, code)


@pytest.mark.parametrize("status", [401, 403, 409, 410, 418, 429, 431])
def test_a_status_that_we_do_not_use_is_a_bad_request(client, status):
    problem(client.get(f"/abort/{status}"), 400, "bad_request")


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_row_of_the_table_is_a_whole_problem(code):
    document = Refusal(code).document()
    assert set(document) == {"type", "title", "status", "detail", "code"}
    assert 400 <= document["status"] <= 503
    assert document["detail"].endswith(".")


def test_an_unknown_code_is_a_fault_of_the_program():
    with pytest.raises(KeyError):
        Refusal("no_such_code")


# --- every answer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/listed", "/nowhere", "/raise/value", "/raise/redis"])
def test_no_answer_is_kept_sniffed_or_told_to_others(client, path):
    headers = client.get(path).headers
    assert (headers["Cache-Control"], "Referrer-Policy" in headers) == ("no-store", False)
    for_browsers, _ = create_base_app("test", title="T", version="v1", checks={}, docs=False, headers=FOR_BROWSERS)
    headers = for_browsers.test_client().get(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_each_request_has_an_id_of_its_own(client):
    first, second = (client.get("/listed", headers={"X-Request-Id": "req_mine"}).headers for _ in range(2))
    assert len({first["X-Request-Id"], second["X-Request-Id"], "req_mine"}) == 3


def test_a_request_leaves_its_id_in_no_later_log(client):
    client.get("/listed")
    assert "request_id" not in structlog.contextvars.get_contextvars()


# --- health and metrics -----------------------------------------------------------------------------------------------


def test_live_is_not_ready():
    state = {"error": None}

    def redis():
        if state["error"] is not None:
            raise state["error"]

    app, _ = create_base_app("test", title="T", version="v1", checks={"sql": lambda: 1, "redis": redis}, docs=False)
    client = app.test_client()
    assert (client.get("/readyz").status_code, client.get("/readyz").json["status"]) == (200, "ok")
    for error in (RedisConnectionError(SECRET), OperationalError("", None, Exception()), OSError(SECRET)):
        state["error"] = error
        answer = client.get("/readyz")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert answer.json == {"status": "unavailable", "parts": {"sql": "ok", "redis": "down"}}
        assert client.get("/healthz").json == {"status": "ok"}


def test_metrics_count_by_route_and_never_by_address(client):
    client.get("/things/acc_in_the_path")
    client.get("/nowhere_at_all")
    text = client.get("/metrics").text
    assert 'route="/things/<id:thing>"' in text
    assert 'route="(none)"' in text
    assert "acc_in_the_path" not in text
    assert "nowhere_at_all" not in text


@pytest.mark.parametrize("method", ["BREW", "PROPFIND", "PATCH", "X" * 200])
def test_metrics_know_made_up_methods_as_other(client, method):
    assert client.open("/listed", method=method).status_code == 405
    lines = client.get("/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith("latchkey_test_requests_total")]
    assert any('method="OTHER",route="(none)",status="405"' in line for line in counted)
    assert not any(f'method="{method}"' in line for line in counted)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_metrics_count_the_methods_of_http_by_name(client, method):
    client.open("/things/x", method=method)
    assert f'method="{method}"' in client.get("/metrics").text


def test_two_apps_in_one_process_count_apart():
    apps = [create_base_app("test", title="T", version="v1", checks={}, docs=False)[0] for _ in range(2)]
    apps[0].test_client().get("/healthz")
    assert "/healthz" not in apps[1].test_client().get("/metrics").text


def test_no_log_line_of_an_outage_is_longer_than_it_needs_to_be(client, caplog):
    with structlog.testing.capture_logs() as logs, caplog.at_level(logging.DEBUG):
        client.get("/raise/redis")
    (entry,) = [entry for entry in logs if entry["event"] == "unavailable"]
    assert (entry["part"], entry["log_level"]) == ("redis", "warning")
    assert len(entry["cause"]) <= 200


@pytest.mark.parametrize(
    "name", ["Seven Wet Otters", "+4915123456789", "492039", "k7f3-q2ma", "x" * 41, "pässword", ""]
)
def test_what_can_be_no_members_name_is_not_told_back(client, name):
    errors = problem(client.post("/echo", json={"text": "a", name: 1}), 422, "validation_failed")["errors"]
    assert errors == {"(no name)": ["Unknown field."]}


def test_a_misspelt_member_is_told_back(client):
    errors = problem(client.post("/echo", json={"text": "a", "tekst": 1}), 422, "validation_failed")["errors"]
    assert errors == {"tekst": ["Unknown field."]}
