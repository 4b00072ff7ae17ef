"""The document tells how we refuse: as problem+json, with every status that a route can give."""

import re

import pytest

from services.auth.schemas.common import code_field, passcode_field

METHODS = {"get", "post", "put", "delete"}


@pytest.fixture
def document(api):
    return api().get("/openapi.json").json


@pytest.fixture
def operations(document):
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


def test_every_refusal_is_a_problem_and_no_route_has_a_catch_all(operations):
    assert len(operations) == 65
    for path, method, operation in operations:
        assert "default" not in operation["responses"], (path, method)
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert response["content"] == {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                }, (path, method, status)


def test_what_all_routes_share_is_told_by_each(operations):
    for path, method, operation in operations:
        told = operation["responses"].keys()
        where = (path, method, sorted(told))
        assert {"400", "413", "415", "503"} <= told, where
        has_query = any(parameter["in"] == "query" for parameter in operation.get("parameters", ()))
        assert ("requestBody" in operation or has_query) <= ("422" in told), where
        assert ("{" in path) <= ("404" in told), where
        assert ("security" in operation) <= ("401" in told), where
        assert (method != "get") <= ("403" in told), where


def test_a_guard_tells_what_it_refuses_with(document):
    told = document["paths"]["/v1/phone"]["put"]["responses"]
    assert told["401"]["description"] == "not_authenticated"
    assert told["403"]["description"] == "origin_refused, enrollment_required, step_up_required"
    told = document["paths"]["/v1/support/accounts"]["get"]["responses"]
    assert told["403"]["description"] == "forbidden, second_factor_required, enrollment_required"


def test_where_waiting_helps_the_header_is_told(document):
    told = document["paths"]["/v1/login"]["post"]["responses"]
    assert "Retry-After" in told["429"]["headers"]
    assert "Retry-After" in told["503"]["headers"]


def test_a_body_takes_no_other_members_and_may_be_left_out_where_it_may_be_empty(document):
    schemas, login = document["components"]["schemas"], document["paths"]["/v1/login"]["post"]
    assert all(schemas[name]["additionalProperties"] is False for name in ("LoginArgs", "Nothing", "PhoneArgs"))
    assert login["requestBody"]["required"] is True
    assert document["paths"]["/v1/logout"]["post"]["requestBody"]["required"] is False


def test_patterns_are_those_of_json_schema_and_mean_the_same(document):
    patterns = re.findall(r"'pattern': '((?:[^'\\]|\\.)*)'", str(document["components"]))
    assert len(patterns) >= 4
    assert all(pattern.startswith("^") and pattern.endswith("$") for pattern in patterns)


def test_an_id_in_a_path_is_described(document):
    parameter = document["paths"]["/v1/login/{challenge_id}"]["parameters"][0]
    assert parameter["schema"] == {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,80}$"}


def test_a_time_is_a_time(document):
    assert document["components"]["schemas"]["Session"]["properties"]["expires_at"] == {
        "type": "string",
        "format": "date-time",
    }


@pytest.mark.parametrize("field", [passcode_field, code_field])
def test_a_form_ends_where_the_text_ends(field):
    from marshmallow import ValidationError

    assert field().deserialize("123456") == "123456"
    for text in ("123456\n", "\n123456", "1234567", "x123456"):
        with pytest.raises(ValidationError):
            field().deserialize(text)
