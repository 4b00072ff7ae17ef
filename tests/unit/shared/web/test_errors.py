"""A refusal, a store that is down, a fault of ours: each is a problem, and none tells its cause."""

import logging

import pytest
import structlog

from shared.problems import PROBLEMS, Refusal
from tests.support.web import problem


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


def test_no_log_line_of_an_outage_is_longer_than_it_needs_to_be(client, caplog):
    with structlog.testing.capture_logs() as logs, caplog.at_level(logging.DEBUG):
        client.get("/raise/redis")
    (entry,) = [entry for entry in logs if entry["event"] == "unavailable"]
    assert (entry["part"], entry["log_level"]) == ("redis", "warning")
    assert len(entry["cause"]) <= 200
